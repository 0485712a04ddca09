// The gallery page: asks for the key where one is needed, lists the images, shows random ones.
//
// The key goes out in a header only, never in an address, and is kept for this tab alone. What the gallery says of its images
// becomes text nodes, never markup.

const KEY = 'imagepool key';
const FETCHES_AT_ONCE = 6;

const by = (id) => document.getElementById(id);
const [grid, status, again, door, viewer, filters] = ['grid', 'status', 'again', 'door', 'viewer', 'filters'].map(by);

let generation = 0; // Rises with each new list; what belongs to an older one is dropped.
let nextPage = null; // Query of the next page; null where there is none, or while one is on its way.
let shown = null; // What the viewer shows.

class Refused extends Error {
  constructor(response, message) {
    super(message);
    this.status = response.status;
  }
}

async function ask(path) {
  const key = sessionStorage.getItem(KEY);
  const response = await fetch(path, { headers: key ? { 'X-API-Key': key } : {}, cache: 'default' });
  if (response.ok) return response;
  const wait = response.headers.get('Retry-After');
  const body = await response.json().catch(() => ({}));
  throw new Refused(response, (body.error ?? `The server answered ${response.status}`) + (wait ? `; try again in ${wait} s.` : '.'));
}

// Filters live in the page's own address, behind the #, so that they survive a reload and reach no server log.

// All punctuation that Unicode names a comma, as in src/image.rs.
const COMMA = /[,\u055D\u060C\u07F8\u1363\u1802\u1808\u2E32\u2E34\u2E41\u2E49\u2E4C\u3001\uA4FE\uA60D\uA6F5\uFE10\uFE11\uFE50\uFE51\uFF0C\uFF64\u{1144D}\u{1145A}\u{16E97}\u{1DA87}]/u;

function filterQuery() {
  const query = new URLSearchParams();
  for (const name of ['orientation', 'animated']) {
    if (filters.elements[name].value) query.set(name, filters.elements[name].value);
  }
  for (const tag of filters.elements.tags.value.split(COMMA).map((tag) => tag.trim())) {
    if (tag) query.append('tag', tag);
  }
  return query;
}

function readFilters() {
  const query = new URLSearchParams(location.hash.slice(1));
  for (const name of ['orientation', 'animated']) filters.elements[name].value = query.get(name) ?? '';
  filters.elements.tags.value = query.getAll('tag').join(', ');
}

// The list.

function restart() {
  generation += 1;
  waiting.length = 0;
  grid.replaceChildren();
  const query = filterQuery();
  history.replaceState(null, '', query.size ? `#${query}` : location.pathname + location.search);
  query.set('limit', '30');
  nextPage = query;
  say('');
  loadPage();
}

async function loadPage() {
  const [mine, query] = [generation, nextPage];
  if (!query) return;
  nextPage = null;
  try {
    const response = await ask(`images?${query}`);
    const images = await response.json();
    if (mine !== generation) return;
    door.hidden = true;
    grid.append(...images.map(tile));
    const link = /<[^>]*\?([^>]*)>; *rel="next"/.exec(response.headers.get('Link') ?? '');
    nextPage = link && new URLSearchParams(link[1]);
    if (!grid.children.length) {
      say(filterQuery().size ? 'No images match.' : 'No images yet. Fill the gallery with: imagepool import DIR');
    }
    if (nextPage && isNear(by('end'))) loadPage();
  } catch (error) {
    if (mine === generation) fail(error, () => { nextPage = query; loadPage(); });
  }
}

function isNear(element) {
  return element.getBoundingClientRect().top < innerHeight + 1000;
}

function tile(image) {
  const item = document.createElement('li');
  const button = document.createElement('button');
  button.type = 'button';
  item.style.setProperty('--ratio', Math.min(Math.max(image.width / image.height, 0.4), 4));
  item.style.setProperty('--color', image.color);
  button.setAttribute('aria-label', image.source);
  button.addEventListener('click', () => show(image, false));
  item.append(button);
  item.image = image;
  near.observe(item);
  return item;
}

// Pictures are fetched when they come near, few at a time, those nearest to the top of the window first.

const waiting = [];
let fetching = 0;

const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    waiting.push(target);
  }
  fetchPictures();
}, { rootMargin: '600px' });

new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting)) loadPage();
}, { rootMargin: '1000px' }).observe(by('end'));

function fromTop(item) {
  return Math.abs(item.getBoundingClientRect().top);
}

function fetchPictures() {
  while (fetching < FETCHES_AT_ONCE && waiting.length) {
    waiting.sort((a, b) => fromTop(b) - fromTop(a));
    const item = waiting.pop();
    fetching += 1;
    const width = Math.ceil(item.clientWidth * devicePixelRatio);
    const picture = document.createElement('img');
    picture.alt = item.image.source;
    load(picture, item.image, width)
      .then(() => item.firstChild.replaceChildren(picture))
      .catch(() => {}) // The tile keeps its colour, and the list says what is wrong with the server.
      .finally(() => { fetching -= 1; fetchPictures(); });
  }
}

// An image element can send no header, so the bytes are fetched and shown from memory.
async function load(picture, image, width) {
  const response = await ask(`images/${image.id}.webp?w=${width}`);
  const address = URL.createObjectURL(await response.blob());
  picture.src = address;
  try {
    await picture.decode();
  } finally {
    URL.revokeObjectURL(address);
  }
}

// The viewer.

async function show(image, random) {
  shown = image;
  by('another').hidden = !random;
  const picture = by('picture');
  picture.removeAttribute('src');
  picture.alt = image.source;
  picture.width = image.width;
  picture.height = image.height;
  picture.style.setProperty('--color', image.color);
  picture.style.aspectRatio = `${image.width} / ${image.height}`;
  picture.style.width = 'auto';
  picture.style.height = 'auto';
  by('facts').textContent = describe(image);
  if (!viewer.open) viewer.showModal();
  try {
    await load(picture, image, Math.ceil(innerWidth * devicePixelRatio));
  } catch (error) {
    if (shown === image) by('facts').textContent = error.message;
  }
}

function describe(image) {
  const size = image.bytes < 1e6 ? `${Math.round(image.bytes / 1e3)} kB` : `${(image.bytes / 1e6).toFixed(1)} MB`;
  const facts = [image.source, `${image.width} × ${image.height}`, size, new Date(image.imported_at).toLocaleString()];
  if (image.animated) facts.push(`${image.frames} frames`);
  if (image.tags.length) facts.push(image.tags.join(', '));
  return facts.join(' · ');
}

async function showRandom() {
  try {
    const query = filterQuery();
    query.set('format', 'json');
    show(await (await ask(`random?${query}`)).json(), true);
  } catch (error) {
    viewer.close();
    fail(error, showRandom);
  }
}

// Words for the person, and the door.

function say(words) {
  status.textContent = words;
  again.hidden = true;
}

function fail(error, retry) {
  if (error.status === 401) {
    const refused = sessionStorage.getItem(KEY) !== null;
    sessionStorage.removeItem(KEY);
    door.hidden = false;
    by('key').focus();
    say(refused ? 'The server refused this key.' : '');
    return;
  }
  say(error instanceof Refused ? error.message : 'The server can not be reached.');
  again.hidden = false;
  again.onclick = () => { say(''); retry(); };
}

door.addEventListener('submit', (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, by('key').value.trim());
  by('key').value = '';
  restart();
});
filters.addEventListener('change', restart);
filters.addEventListener('submit', (event) => event.preventDefault());
addEventListener('hashchange', () => { readFilters(); restart(); });
by('random').addEventListener('click', showRandom);
by('another').addEventListener('click', showRandom);
by('close').addEventListener('click', () => viewer.close());
by('copy').addEventListener('click', async () => {
  const address = new URL(`images/${shown.id}.webp`, location.href);
  address.hash = '';
  await navigator.clipboard.writeText(address.href).then(() => { by('copy').textContent = 'Copied'; }, () => {});
  setTimeout(() => { by('copy').textContent = 'Copy address'; }, 1500);
});
viewer.addEventListener('keydown', (event) => {
  if (event.key === 'ArrowRight' && !by('another').hidden) showRandom();
});

readFilters();
restart();
