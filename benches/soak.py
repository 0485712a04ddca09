"""The check `soak` of stand.py: requests while images come and go and keys rotate."""

import http.client
import statistics
import threading
import time
from collections.abc import Callable

from harness import Gallery


class Soak:
    """Clients, and those who change the gallery beside them, until `ended`."""

    def __init__(self, gallery: Gallery) -> None:
        self.gallery, self.ended = gallery, threading.Event()
        self.second = gallery.run("key", "add", "--name", "second")
        self.old_keys: set[str] = set()
        self.errors: list[str] = []
        self.answered = 0
        self.done = {"imports": 0, "rotations": 0, "backups": 0}

    def client(self, number: int) -> None:
        client = http.client.HTTPConnection("127.0.0.1", self.gallery.port, timeout=30)
        paths = "/random", "/random?w=160", "/images?limit=5"
        turn = 0
        while not self.ended.is_set():
            key = self.second if number % 2 else self.gallery.key
            try:
                client.request("GET", paths[turn % 3], headers={"X-API-Key": key})
                answer = client.getresponse()
                body, kind = answer.read(), answer.getheader("content-type")
                replaced = key in self.old_keys or key != self.gallery.key
                torn = kind == "image/webp" and body[:4] != b"RIFF"
                if not (answer.status == 401 and replaced) and (answer.status != 200 or torn):
                    self.errors.append(f"{answer.status} {body[:100]!r}")
            # An image that is removed while it is sent is cut; the contract says so.
            except http.client.IncompleteRead:
                client.close()
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
                client.close()
            turn += 1
        self.answered += turn

    def repeat(self, work: Callable[[int], None]) -> None:
        turn = 0
        while not self.ended.is_set():
            try:
                work(turn)
            except Exception as error:  # What a person at the terminal would see is an error here.
                self.errors.append(repr(error))
            turn += 1

    def images(self, turn: int) -> None:
        before = set(self.gallery.ids())
        self.gallery.add(30, 320, 240, seed=10**6 * (turn + 1))
        come = set(self.gallery.ids()) - before
        self.done["imports"] += 1
        self.ended.wait(1)
        self.gallery.run("remove", *come)
        self.ended.wait(1)

    def keys(self, _: int) -> None:
        self.ended.wait(5)
        self.old_keys.add(self.gallery.key)
        self.gallery.key = self.gallery.run("key", "rotate")
        self.done["rotations"] += 1

    def backups(self, _: int) -> None:
        self.ended.wait(20)
        copy = self.gallery.folder / "copy.pool"
        self.gallery.run("backup", "--force", copy)
        self.gallery.run("verify", "--deep", gallery=copy)
        self.done["backups"] += 1


def soak(gallery: Gallery, minutes: float = 10.0) -> tuple[dict[str, object], bool]:
    gallery.add(300, 320, 240)
    gallery.serve()
    run, start, memory = Soak(gallery), time.monotonic(), []
    threads = [threading.Thread(target=run.client, args=(number,)) for number in range(8)]
    works = run.images, run.keys, run.backups
    threads += [threading.Thread(target=run.repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    while (passed := time.monotonic() - start) < 60 * minutes and gallery.server.poll() is None:
        memory.append((passed, gallery.anonymous_mb()))
        run.ended.wait(2)
    is_alive = gallery.server.poll() is None
    run.ended.set()
    for thread in threads:
        thread.join()
    gallery.run("verify", "--deep")
    after = [mb for passed, mb in memory if passed > 60] or [mb for _, mb in memory]
    third = max(1, len(after) // 3)
    first, last = statistics.median(after[:third]), statistics.median(after[-third:])
    found = run.done | {"requests": run.answered, "errors": run.errors[:5], "is_alive": is_alive}
    found |= {"memory_mb_after_the_first_minute": round(first, 1)}
    found |= {"memory_mb_at_the_end": round(last, 1)}
    found |= {"gallery_mb": round(gallery.pool.stat().st_size / 1e6, 1)}
    fine = is_alive and not run.errors and last < 1.1 * first + 2
    return found, fine and min(run.done.values()) > 0
