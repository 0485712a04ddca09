"""Whether the random route picks every image with the same probability.

    imagepool list --json | uniformity.py URL REQUESTS

Sends REQUESTS requests to URL, the random route with its key, over as many
connections as there are cores, and counts the X-Image-Id of every answer. No
answer is left out: a load generator that stops at a deadline drops those that
are under way, which are more often large images than small ones. Prints one
line: images, requests, chi-square, degrees of freedom, p. Python's standard
library only.
"""

import http.client
import json
import math
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from urllib.parse import urlsplit

# Far more than the continued fraction takes, should rounding keep it from the last digit.
MOST_TERMS = 100_000


def count_images(url, requests):
    """Which images came how often, over one connection."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    counts = Counter()
    for _ in range(requests):
        connection.request("GET", parts.path)
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise SystemExit(f"uniformity.py: the server answered {response.status}")
        counts[response.getheader("X-Image-Id")] += 1
    connection.close()
    return counts


def count_all(url, requests):
    """As count_images, over several connections at once."""
    connections = os.cpu_count() or 1
    shares = [requests // connections + (i < requests % connections) for i in range(connections)]
    with ProcessPoolExecutor(connections) as pool:
        return sum(pool.map(count_images, [url] * connections, shares), Counter())


def chi_square(counts, images, requests):
    expected = requests / len(images)
    return sum((counts[image] - expected) ** 2 / expected for image in images)


def upper_gamma(a, x):
    """The regularised upper incomplete gamma function Q(a, x).

    By its series below a + 1 and its continued fraction above, evaluated with
    Lentz's method (Numerical Recipes, 3rd edition, section 6.2).
    """
    if x <= 0:
        return 1.0
    factor = math.exp(a * math.log(x) - x - math.lgamma(a))
    epsilon = sys.float_info.epsilon
    if x < a + 1:
        term = total = 1 / a
        n = a
        while term > total * epsilon:
            n += 1
            term *= x / n
            total += term
        return 1 - factor * total
    tiny = sys.float_info.min / epsilon
    b = x + 1 - a
    c = 1 / tiny
    d = fraction = 1 / b
    for i in range(1, MOST_TERMS):
        numerator = -i * (i - a)
        b += 2
        d = 1 / (numerator * d + b or tiny)
        c = b + numerator / c or tiny
        change = c * d
        fraction *= change
        if abs(change - 1) <= epsilon:
            break
    return factor * fraction


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    url, requests = sys.argv[1], int(sys.argv[2])
    images = {image["id"] for image in json.load(sys.stdin)}
    if len(images) < 2:
        raise SystemExit("uniformity.py: there must be two images to choose from")
    counts = count_all(url, requests)
    strangers = counts.keys() - images
    if strangers:
        raise SystemExit(f"uniformity.py: images that are not in the gallery: {strangers}")
    statistic = chi_square(counts, images, requests)
    degrees = len(images) - 1
    p = upper_gamma(degrees / 2, statistic / 2)
    print(f"{len(images)} {requests} {statistic:.1f} {degrees} {p:.6f}")


if __name__ == "__main__":
    main()
