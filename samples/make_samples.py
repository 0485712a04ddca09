#!/usr/bin/env python3
"""Paints the sample pictures that ship with imagepool.

This script owns every picture under `landscape/` and `abstract/` next to it:
each one is computed from a fixed seed, so the set can be remade at any time.

    pip install numpy pillow
    python3 make_samples.py              # all pictures
    python3 make_samples.py night-city   # only those whose path contains a word

How it is laid out: small tools first (colour, noise, masks, water), then one
section per picture, then the table `SAMPLES`, which is the list of what exists.
A painter gets an oversampled `(rows, columns)` shape and a random generator and
returns floats in 0..1, RGB or RGBA; `render` shrinks that, which is what
smooths every edge.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import numpy as np
from PIL import Image, ImageDraw

HERE = Path(__file__).resolve().parent


# --- colour ------------------------------------------------------------------

def colour(code):
    """'#rrggbb' as three floats in 0..1."""
    return np.array([int(code[i:i + 2], 16) for i in (1, 3, 5)], np.float32) / 255


def ramp(codes, position, stops=None):
    """Colours along a gradient; `stops` are evenly spaced unless given."""
    table = np.array([colour(code) for code in codes])
    stops = np.linspace(0, 1, len(codes)) if stops is None else stops
    channels = [np.interp(position, stops, table[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def mix(below, above, amount):
    """Blends two colours or pictures; `amount` is a number or a mask."""
    amount = np.asarray(amount, np.float32)[..., None]
    return below + (above - below) * amount


def smoothstep(low, high, value):
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def vignette(picture, strength):
    """Darkens the corners a little."""
    y, x = grid(picture.shape[:2])
    x = x / x.max()
    reach = ((x - 0.5) ** 2 + (y - 0.5) ** 2) * 2
    return picture * (1 - strength * reach ** 1.5)[..., None]


# --- fields and masks --------------------------------------------------------

def grid(shape):
    """Row and column coordinates; the picture's height is 1."""
    rows, columns = shape
    y = (np.arange(rows, dtype=np.float32) + 0.5) / rows
    x = (np.arange(columns, dtype=np.float32) + 0.5) / rows
    return np.meshgrid(y, x, indexing="ij")


def frequencies(shape, scale):
    """Squared spatial frequency on the FFT grid, in cycles per `scale`."""
    scales = np.broadcast_to(scale, len(shape))
    axes = [np.fft.fftfreq(n) * s for n, s in zip(shape, scales)]
    return sum(a ** 2 for a in np.meshgrid(*axes, indexing="ij"))


def noise(rng, shape, scale, falloff):
    """A random field that tiles, with mean 0 and spread 1.

    `scale` is the size in pixels of the largest features (one number, or one
    per axis); a higher `falloff` is smoother.
    """
    spectrum = np.fft.fftn(rng.standard_normal(shape))
    spectrum *= (1 + frequencies(shape, scale)) ** (-falloff / 2)
    values = np.fft.ifftn(spectrum).real
    return ((values - values.mean()) / values.std()).astype(np.float32)


def blur(values, radius):
    """Gaussian blur; `radius` in pixels is one number, or one per axis."""
    kernel = np.exp(-2 * np.pi ** 2 * frequencies(values.shape[:2], radius))
    if values.ndim == 3:
        kernel = kernel[..., None]
    spectrum = np.fft.fftn(values, axes=(0, 1)) * kernel
    return np.fft.ifftn(spectrum, axes=(0, 1)).real.astype(np.float32)


def look_up(tile, row, column):
    """Bilinear sample of a tile that repeats for ever; positions in pixels."""
    rows, columns = tile.shape
    r0, c0 = np.floor(row).astype(int), np.floor(column).astype(int)
    fr, fc = (row - r0).astype(np.float32), (column - c0).astype(np.float32)
    r0, c0, r1, c1 = r0 % rows, c0 % columns, (r0 + 1) % rows, (c0 + 1) % columns
    top = tile[r0, c0] * (1 - fc) + tile[r0, c1] * fc
    bottom = tile[r1, c0] * (1 - fc) + tile[r1, c1] * fc
    return top * (1 - fr) + bottom * fr


def below(line, rows):
    """Mask of everything under a line of row positions, one per column."""
    return np.clip(np.arange(rows, dtype=np.float32)[:, None] - line + 0.5, 0, 1)


def glow(y, x, centre, radius):
    """Soft round light around `centre`, given as (y, x)."""
    distance = np.hypot(y - centre[0], x - centre[1])
    return np.exp(-distance / radius)


def disc(y, x, centre, radius, edge):
    distance = np.hypot(y - centre[0], x - centre[1])
    return smoothstep(radius + edge, radius - edge, distance)


# --- scenery shared by several pictures --------------------------------------

def stars(rng, shape, count):
    """Points of light of many sizes, as a brightness field."""
    rows, columns = shape
    sky = np.zeros(shape, np.float32)
    where = rng.integers(0, rows, count), rng.integers(0, columns, count)
    sky[where] = rng.pareto(1.5, count).clip(0.05, 9)
    unit = rows / 1400
    return np.clip(unit ** 2 * (4 * blur(sky, 0.8 * unit) + 4 * blur(sky, 3 * unit)), 0, 1)


def ridge_line(rng, columns, scale, falloff):
    """A mountain skyline: sharp summits, rounded valleys; higher is larger."""
    broad = noise(rng, (columns * 2,), scale, falloff)[:columns]
    fine = noise(rng, (columns * 2,), scale * 0.3, falloff * 0.85)[:columns]
    return 0.8 - np.abs(broad) + 0.14 * fine


def conifer(rng, draw, x, foot, height):
    """Draws one fir as a ragged outline."""
    tiers = int(rng.integers(15, 23))
    reach = height * rng.uniform(0.14, 0.20)
    sides = []
    for direction in (-1, 1):
        side = []
        for tier in range(1, tiers + 1):
            part = tier / tiers
            width = direction * reach * part ** 0.85 * rng.uniform(0.65, 1.15)
            y = foot - height * (1 - part)
            side += [(x + width, y + height * 0.014), (x + width * 0.45, y - height * 0.006)]
        sides.append(side)
    draw.polygon([(x, foot - height), *sides[0], *reversed(sides[1])], fill=255)
    trunk = height * 0.012
    draw.rectangle([x - trunk, foot - height * 0.8, x + trunk, foot + height], fill=255)


def forest(rng, shape, ground, height, spacing):
    """Mask of a row of firs standing on `ground`, and the ground itself."""
    rows, columns = shape
    canvas = Image.new("L", (columns, rows))
    draw = ImageDraw.Draw(canvas)
    x = -spacing
    while x < columns + spacing:
        foot = ground[int(np.clip(x, 0, columns - 1))]
        conifer(rng, draw, x, foot + height * 0.11, height * rng.uniform(0.5, 1.1))
        x += spacing * rng.uniform(0.35, 1.5)
    return np.maximum(np.asarray(canvas, np.float32) / 255, below(ground, rows))


def reflect(rng, picture, shore, swing):
    """Replaces what lies under row `shore` by a rippled mirror image."""
    rows, columns = picture.shape[:2]
    depth = np.arange(rows - shore, dtype=np.float32)[:, None]
    near = depth / (rows - shore)
    ripple = noise(rng, (rows - shore, columns), (rows * 0.012, rows * 0.16), 2.4)
    source = shore - 1 - depth * 1.15 - ripple * swing * rows * (0.08 + near)
    source = np.clip(source, 0, shore - 1).astype(int)
    sideways = np.arange(columns) + ripple * swing * rows * 0.15 * near
    sideways = np.clip(sideways, 0, columns - 1).astype(int)
    picture[shore:] = picture[source, sideways]
    picture[shore:] = blur(picture, (rows * 0.004, rows * 0.0008))[shore:]
    return picture


# --- landscape/dusk-mountains ------------------------------------------------

def dusk_mountains(shape, rng):
    rows, columns = shape
    y, x = grid(shape)
    sun = (0.475, 1.02)
    picture = dusk_sky(rng, y, x, sun)
    layers = 7
    for layer in range(layers):
        near = layer / (layers - 1)
        skyline = ridge_line(rng, columns, rows * (0.75 + 0.35 * near), 1.95 - 0.1 * near)
        foot = 0.545 + 0.42 * near ** 1.1
        top = (foot - (0.085 + 0.035 * near) * skyline) * rows
        mask = below(top, rows)
        if layer == layers - 1:
            mask = forest(rng, shape, top, rows * 0.08, rows * 0.016)
        picture = mix(picture, dusk_slope(y, x, foot, near, sun), mask)
    return vignette(picture, 0.25)


def dusk_sky(rng, y, x, sun):
    codes = ["#1b2052", "#3f3378", "#8a4a8c", "#d7687f", "#f79a6c", "#ffd08a"]
    sky = ramp(codes, y, [0, 0.14, 0.27, 0.38, 0.47, 0.56])
    sky = mix(sky, colour("#ffe0a3"), 0.75 * glow(y, x, sun, 0.22))
    streaks = noise(rng, y.shape, (y.shape[0] * 0.05, y.shape[0] * 0.55), 2.3)
    veil = smoothstep(0.2, 2.2, streaks) * smoothstep(0.02, 0.2, y) * smoothstep(0.52, 0.36, y)
    lit = ramp(["#7a4a8f", "#e8738a", "#ffc38d"], y, [0.08, 0.25, 0.42])
    sky = mix(sky, lit, 0.7 * veil)
    return mix(sky, colour("#fff6dd"), disc(y, x, sun, 0.034, 0.002))


def dusk_slope(y, x, foot, near, sun):
    """One range: its own colour at the crest, haze gathering at its foot."""
    body = ramp(["#cf7589", "#94537f", "#5c3b70", "#33285a", "#191a3c", "#0b0f24"], near)
    haze = ramp(["#f6a583", "#d47a88", "#8a5184", "#453569", "#0f1430"], near)
    picture = mix(body, haze, 0.9 * smoothstep(-0.06, 0.11, y - foot))
    return mix(picture, colour("#ffc48a"), 0.42 * (1 - near) * glow(y, x, sun, 0.3))


# --- landscape/misty-forest --------------------------------------------------

def misty_forest(shape, rng):
    rows, columns = shape
    y, x = grid(shape)
    light = (0.17, 0.42)
    picture = ramp(["#9fbfc6", "#d3dfd6", "#f0e8d0", "#cbd8d2"], y, [0, 0.2, 0.36, 0.7])
    picture = mix(picture, colour("#fff0c4"), 0.9 * glow(y, x, light, 0.15))
    picture = mix(picture, colour("#fffbea"), disc(y, x, light, 0.052, 0.004))
    layers = 8
    for layer in range(layers):
        near = layer / (layers - 1)
        bumps = noise(rng, (columns * 2,), rows * 0.4, 2)[:columns]
        ground = (0.36 + 0.66 * near ** 1.25 - (0.030 + 0.02 * near) * bumps) * rows
        mask = forest(rng, shape, ground, rows * (0.055 + 0.34 * near ** 1.5),
                      rows * (0.010 + 0.075 * near ** 1.5))
        body = ramp(["#b9cbc6", "#8fadaa", "#5f8788", "#356066", "#183e48", "#0a2129"], near)
        picture = mix(picture, body, mask)
        picture = mist(rng, picture, y, ground / rows, near)
        picture = mix(picture, colour("#fff0c8"), 0.16 * (1 - near) * glow(y, x, light, 0.3))
    return vignette(picture, 0.15)


def mist(rng, picture, y, ground, near):
    """Fog lying on the ground of one row of trees."""
    rows = y.shape[0]
    wisps = noise(rng, y.shape, (rows * 0.07, rows * 0.3), 2.6)
    lift = 0.05 + 0.10 * near
    bank = smoothstep(-lift, 0.6 * lift, y - ground + 0.02 * wisps)
    fog = ramp(["#e3e7da", "#cfdbd6", "#9fb9ba", "#5f868c"], near)
    return mix(picture, fog, bank * (0.85 - 0.45 * near))


# --- landscape/desert-dunes --------------------------------------------------

def desert_dunes(shape, rng):
    rows, columns = shape
    y, x = grid(shape)
    horizon = 0.36
    picture = dune_sky(rng, y, x)
    relief = Dunes(rng)
    depth = relief.depth_map(rows, columns, horizon)
    hit = np.isfinite(depth)
    depth = np.where(hit, depth * 0.998, 1)  # a hair nearer, so a crest is lit as its near side
    across = (x - columns / rows / 2) * depth
    sand = relief.shade(across, depth)
    haze = 0.8 * smoothstep(4, 34, depth)
    sand = mix(sand, colour("#f0b692"), haze)
    picture = mix(picture, sand, hit)
    return vignette(picture, 0.25)


def dune_sky(rng, y, x):
    codes = ["#3f5f94", "#7f8fb3", "#d3a9a8", "#f6c79b", "#fbd9a8"]
    sky = ramp(codes, y, [0, 0.14, 0.25, 0.33, 0.38])
    sky = mix(sky, colour("#ffe9c2"), 0.7 * glow(y, x, (0.33, 0.1), 0.22))
    wisps = noise(rng, y.shape, (y.shape[0] * 0.05, y.shape[0] * 0.5), 2.4)
    return mix(sky, colour("#ffe2c4"), 0.35 * smoothstep(0.4, 2.4, wisps))


class Dunes:
    """A field of dunes seen from a low hill, in units of the eye's distance."""

    EYE = 1.15
    SUN = np.array([-0.83, 0.42, 0.36], np.float32)

    def __init__(self, rng):
        self.bend = noise(rng, (1024, 1024), 300, 3.2)
        self.size = noise(rng, (1024, 1024), 260, 3.0)
        self.wobble = noise(rng, (1024, 1024), 60, 3.0)

    def height(self, across, depth):
        """Long windward slopes that end in a sharp crest and a slip face."""
        at = depth * 55 + 40, across * 55
        bend, size = look_up(self.bend, *at), look_up(self.size, *at)
        phase = 0.21 * across + 0.16 * depth + 0.42 * bend
        saw = phase - np.floor(phase)
        rise = np.where(saw < 0.68, saw / 0.68, (1 - saw) / 0.32)
        crest = rise * rise * (1.9 - 0.9 * rise)
        return (0.62 + 0.20 * size) * crest + 0.12 * bend

    def depth_map(self, rows, columns, horizon):
        """Distance to the sand behind every pixel; infinite for the sky."""
        depths = np.geomspace(0.2, 60, 4500).astype(np.float32)
        across = (np.arange(columns) + 0.5) / rows - columns / rows / 2
        heights = self.height(across[None, :] * depths[:, None], depths[:, None] + 0 * across)
        screen = horizon + (self.EYE - heights) * 0.62 / depths[:, None]
        highest = np.minimum.accumulate(screen, axis=0)
        seen = (np.arange(rows) + 0.5) / rows
        result = np.empty((rows, columns), np.float32)
        for column in range(columns):
            result[:, column] = np.interp(seen, highest[::-1, column], depths[::-1], left=np.inf)
        return result

    def shade(self, across, depth):
        step = 0.001 * depth
        here = self.height(across, depth)
        slope_x = (self.height(across + step, depth) - here) / step
        slope_z = (here - self.height(across, depth - step)) / step
        ripple = self.ripples(across, depth)
        slope_x, slope_z = slope_x + ripple, slope_z + 0.5 * ripple
        length = np.sqrt(1 + slope_x ** 2 + slope_z ** 2)
        light = (-slope_x * self.SUN[0] + self.SUN[1] - slope_z * self.SUN[2]) / length
        codes = ["#3f2744", "#6f3c4f", "#b8664f", "#e59c5c", "#f7c981", "#ffe6b3"]
        return ramp(codes, light, [-0.25, 0.08, 0.30, 0.55, 0.78, 0.98])

    def ripples(self, across, depth):
        """Wind ripples, fading before they get too fine to draw."""
        wobble = look_up(self.wobble, depth * 90, across * 90)
        phase = 150 * (across + 0.5 * depth) + 3.5 * wobble
        return 0.11 * np.sin(phase) * smoothstep(3.2, 0.8, depth)


# --- landscape/northern-lights -----------------------------------------------

def northern_lights(shape, rng):
    rows, columns = shape
    y, x = grid(shape)
    shore = int(rows * 0.76)
    picture = ramp(["#050a1e", "#09193a", "#103650", "#1b5560"], y, [0, 0.35, 0.62, 0.78])
    for base, strength in ((0.36, 0.55), (0.50, 1.0), (0.60, 0.45)):
        light = curtain(rng, shape, base)
        light = 0.75 * light + 0.35 * blur(light, rows * 0.03)
        picture = 1 - (1 - picture) * np.exp(-strength * light)
    twinkle = 0.8 * stars(rng, shape, 1500)[..., None]
    for near, code in enumerate(["#0c2b3b", "#071a29"]):
        skyline = ridge_line(rng, columns, rows * (0.9 - 0.3 * near), 1.85)
        top = shore - rows * (0.08 - 0.045 * near) * (skyline + 0.8)
        picture = mix(picture, colour(code), below(top, rows))
        twinkle = twinkle * (1 - below(top, rows))[..., None]
    ground = np.full(columns, shore - rows * 0.004)
    picture = mix(picture, colour("#040d16"), forest(rng, shape, ground, rows * 0.075, rows * 0.016))
    picture = reflect(rng, picture, shore, 0.035)
    picture = mix(picture, picture * colour("#a9ccd6") + 0.01, smoothstep(0.76, 0.765, y))
    return vignette(np.clip(picture + twinkle, 0, 1), 0.25)


def curtain(rng, shape, base):
    """Light of one folded curtain: rays rise from a wandering lower edge."""
    rows, columns = shape
    count = columns * 12
    t = np.linspace(-0.3, 1.3, count)
    fold, lift, broad, fine = (noise(rng, (count,), count * part, power) for part, power in
                               ((0.14, 3.4), (0.30, 3.6), (0.14, 2.6), (0.012, 1.8)))
    x = (columns * (t + 0.040 * fold)).astype(int)
    y = (rows * (base + 0.075 * lift + 0.03 * fold)).astype(int)
    light = np.exp(0.45 * broad + 0.30 * fine)
    inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    edge = np.zeros(shape, np.float32)
    np.add.at(edge, (y[inside], x[inside]), light[inside])
    return rise(blur(edge, rows / 220))


def rise(edge):
    """Carries light upwards: green fades first, violet climbs highest."""
    rows, columns = edge.shape
    fade = np.exp(-1 / (rows * np.array([0.20, 0.085, 0.135])))
    tint = np.array([0.018, 0.080, 0.042]) * 1440 / rows
    light = np.zeros((rows, columns, 3), np.float32)
    carried = np.zeros((columns, 3))
    for row in range(rows - 1, -1, -1):
        carried = carried * fade + edge[row][:, None] * tint
        light[row] = carried
    return light


# --- landscape/night-city ----------------------------------------------------

def night_city(shape, rng):
    rows, columns = shape
    y, x = grid(shape)
    shore = int(rows * 0.74)
    codes = ["#0b1033", "#1d2358", "#48357a", "#a04f7d", "#ef8f6a"]
    picture = ramp(codes, y, [0, 0.22, 0.38, 0.50, 0.62])
    picture = picture + 0.5 * (stars(rng, shape, 500) * smoothstep(0.5, 0.1, y))[..., None]
    picture = mix(picture, colour("#f6e7cf"), 0.30 * glow(y, x, (0.19, 1.36), 0.06))
    picture = mix(picture, colour("#fdf3dd"), disc(y, x, (0.19, 1.36), 0.040, 0.0015))
    for near in (0.0, 0.5, 1.0):
        city_row(rng, picture, shore, near)
    quay(picture, shore)
    bright = np.clip(picture - 0.55, 0, None) * ((y > 0.3) & (y < 0.735))[..., None]
    picture = picture + 0.9 * blur(bright, rows * 0.005) + 0.9 * blur(bright, rows * 0.02)
    picture = reflect(rng, np.clip(picture, 0, 1), shore, 0.045)
    water = smoothstep(0.735, 0.745, y) * (0.55 + 0.2 * smoothstep(0.74, 1, y))
    return vignette(mix(picture, colour("#141a3e"), 0.62 * water), 0.25)


def city_row(rng, picture, shore, near):
    """One row of towers from edge to edge, tallest towards the middle."""
    rows, columns = picture.shape[:2]
    x = -rows * 0.03
    while x < columns:
        width = rows * rng.uniform(0.045, 0.095) * (0.75 + 0.35 * near)
        centre = np.exp(-((x / columns - 0.46) / 0.26) ** 2)
        peak = (0.30 - 0.16 * near) * centre * rng.uniform(0.3, 1)
        height = rows * (0.07 + rng.uniform(0.04, 0.17) + peak)
        tower(rng, picture, int(x), int(width), int(shore - height), shore, near)
        x += width * (rng.uniform(0.95, 1.3) if near == 1 else rng.uniform(0.75, 1.15))


def quay(picture, shore):
    """A dark wall along the water with a row of street lamps."""
    rows, columns = picture.shape[:2]
    fill(picture, 0, columns, shore - rows // 90, rows, colour("#0a0d26"))
    size = rows // 360
    for x in range(rows // 60, columns, rows // 22):
        fill(picture, x, x + size, shore - rows // 60, shore - rows // 60 + size, colour("#ffe2a8"))


def tower(rng, picture, left, width, top, shore, near):
    """One tower; some carry a narrower crown, and some of those a mast."""
    wall = ramp(["#5d4076", "#2c2653", "#0e1233"], near) * rng.uniform(0.75, 1.25)
    fill(picture, left, left + width, top, shore, wall)
    if rng.random() < 0.45:
        inset = int(width * rng.uniform(0.15, 0.3))
        crown = int(width * rng.uniform(0.2, 0.6))
        fill(picture, left + inset, left + width - inset, top - crown, top, wall)
        if rng.random() < 0.5:
            middle, mast = left + width // 2, max(1, width // 40)
            tip = top - crown - int(width * 0.7)
            fill(picture, middle - mast, middle + mast, tip, top, wall)
    cell = max(8, int(picture.shape[0] * (0.0075 + 0.0025 * near)))
    columns = range(left + cell // 2, left + width - cell, cell)
    floors = range(top + cell, shore - cell, cell)
    windows(rng, picture, columns, floors, wall, near)


def windows(rng, picture, columns, floors, wall, near):
    """A grid of panes; whole floors tend to be lit or dark together."""
    width, height = int(columns.step * rng.choice([0.5, 0.7])), int(floors.step * 0.5)
    lamps = ["#ffd58a", "#ffc069", "#fff0c9", "#ffa95e", "#cfe3ff"]
    busy = rng.uniform(0.15, 0.6)
    for y in floors:
        lit = busy * rng.choice([0.2, 0.7, 1.4])
        for x in columns:
            if rng.random() < lit:
                strength = (0.45 + 0.45 * near) * rng.uniform(0.6, 1.1)
                pane = mix(wall, colour(rng.choice(lamps)), strength)
                fill(picture, x, x + width, y, y + height, pane)


def fill(picture, left, right, top, bottom, value):
    picture[max(top, 0):max(bottom, 0), max(left, 0):max(right, 0)] = value


# --- landscape/evening-sea ---------------------------------------------------

def evening_sea(shape, rng):
    rows, columns = shape
    y, x = grid(shape)
    horizon = 0.44
    middle = columns / rows / 2
    sky_y, across = horizon - y, x - middle
    picture = sea_air(np.clip(sky_y, 0, None), across)
    picture = mix(picture, sea_clouds(rng, y), cloud_cover(rng, y))
    picture = mix(picture, colour("#fff3d0"), disc(y, x, (horizon - 0.055, middle), 0.042, 0.0012))
    distance = 0.16 / np.clip(y - horizon, 0.0004, None)
    water = sea_surface(rng, across, y - horizon, distance)
    water = mix(water, colour("#f2a57c"), 0.55 * smoothstep(0.02, 0, y - horizon))
    return vignette(mix(picture, water, below(np.full(columns, horizon * rows), rows)), 0.2)


def sea_air(up, across):
    """Sky colour at a height above the horizon and a distance from the sun."""
    codes = ["#ffb676", "#f98f6f", "#d96a7c", "#8f5590", "#4a4787", "#263468"]
    air = ramp(codes, up, [0, 0.06, 0.13, 0.22, 0.32, 0.45])
    near_sun = np.exp(-np.hypot(up - 0.055, across) / 0.085)
    return mix(air, colour("#ffe2a6"), 0.85 * near_sun)


def cloud_cover(rng, y):
    rows = y.shape[0]
    puffs = noise(rng, y.shape, (rows * 0.055, rows * 0.30), 2.2)
    band = np.exp(-((y - 0.17) / 0.10) ** 2) + 0.7 * np.exp(-((y - 0.36) / 0.03) ** 2)
    return 0.75 * smoothstep(0.1, 1.7, puffs) * np.clip(band, 0, 1)


def sea_clouds(rng, y):
    shade = 0.03 * noise(rng, y.shape, y.shape[0] * 0.06, 2.4)
    return ramp(["#5b4b8a", "#b05f8c", "#f58f7c", "#ffc48c"], y + shade, [0.04, 0.15, 0.26, 0.37])


def sea_surface(rng, across, down, distance):
    """Waves on a flat sea that mirrors the sky, with the sun's path of sparks."""
    waves = 0
    swell, chop, ripple = ((60, 190), 620, 0.65), ((40, 110), 1500, 0.55), ((30, 70), 3600, 0.40)
    for crest, size, share in (swell, chop, ripple):
        slope = np.gradient(noise(rng, (1024, 1024), crest, 3.6), axis=0)
        seen = smoothstep(6 / share, 0.3, distance / (1 - share))
        place = distance * size, 2 * across * distance * size
        waves = waves + share * seen * look_up(slope / slope.std(), *place)
    up = np.abs(0.85 * down + 0.10 * waves * np.sqrt(smoothstep(0, 0.25, down)))
    sky = sea_air(0.03 + up, 3 * across)
    deep = ramp(["#a85f78", "#463f74", "#1c2a58", "#0f1c42"], down, [0, 0.12, 0.35, 0.56])
    water = mix(deep, sky, np.clip(0.75 - 0.7 * down - 0.12 * waves, 0.15, 0.9))
    path = np.exp(-(across / (0.05 + 0.15 * down)) ** 2) * smoothstep(0.6, 0.0, down)
    sparks = smoothstep(0.2 + 2.0 * down, 1.1 + 2.0 * down, -waves) + 0.5 * smoothstep(0.2, 0, down)
    return water + (path * sparks)[..., None] * colour("#ff9d52") * 0.9


# --- landscape/ringed-planet -------------------------------------------------

class Planet:
    """A banded planet with rings, in units of its radius; +z is the viewer."""

    SUN = np.array([-0.62, -0.42, 0.66]) / np.linalg.norm([-0.62, -0.42, 0.66])
    AXIS = np.array([0.0, -0.955, 0.297])
    BANDS = ["#7d4a4a", "#c98d62", "#f0d3a0", "#d89a6a", "#f6e3bd", "#b4695a",
             "#eec08a", "#fbeed0", "#c07c62", "#e8b987", "#8d5658"]

    def __init__(self, rng):
        self.swirl = noise(rng, (512, 1024), (18, 120), 2.3)
        self.grooves = noise(rng, (2048,), 120, 1.3)

    def globe(self, u, v):
        """Colour of the ball and the mask of where it is."""
        radius = np.hypot(u, v)
        z = np.sqrt(np.clip(1 - radius ** 2, 0, None))
        latitude = self.along(self.AXIS, u, v, z)
        swirl = look_up(self.swirl, latitude * 200, np.arctan2(u, z + 0.2) * 160)
        skin = ramp(self.BANDS, (latitude + 1) / 2 + 0.012 * swirl)
        lit = self.along(self.SUN, u, v, z)
        shine = smoothstep(-0.12, 0.95, lit) * (1 - 0.75 * self.ring_shadow(u, v, z))
        skin = skin * (0.02 + 0.93 * shine)[..., None]
        rim = (smoothstep(0.8, 1.0, radius) * np.clip(lit + 0.15, 0, 1))[..., None]
        return skin + 0.14 * rim * colour("#ffd9b0"), smoothstep(1.003, 0.997, radius)

    def ring_shadow(self, u, v, z):
        """How much of the sun the rings take from a point on the ball."""
        toward = -self.along(self.AXIS, u, v, z) / (self.AXIS @ self.SUN)
        spot = [p + toward * s for p, s in zip((u, v, z), self.SUN)]
        return self.density(np.sqrt(sum(p ** 2 for p in spot))) * (toward > 0)

    def rings(self, u, v):
        """Colour, opacity and nearness (is it before the ball?) of the rings."""
        z = -v * self.AXIS[1] / self.AXIS[2]
        reach = np.sqrt(u ** 2 + v ** 2 + z ** 2)
        depth = self.along(self.SUN, u, v, z)
        aside = np.sqrt(np.clip(reach ** 2 - depth ** 2, 0, None))
        dark = smoothstep(1.04, 0.96, aside) * (depth < 0)
        tone = ramp(["#8b6a62", "#e3c39a", "#fff0d2", "#c89f84"], (reach - 1.35) / 1.0)
        return tone * (1 - 0.93 * dark)[..., None], self.density(reach), z > 0

    def density(self, reach):
        grooves = np.interp(reach, np.linspace(1.3, 2.4, 2048), self.grooves)
        body = smoothstep(1.36, 1.5, reach) * smoothstep(2.28, 2.22, reach)
        gap = 1 - 0.92 * smoothstep(0.045, 0.03, np.abs(reach - 1.98))
        return np.clip(0.62 + 0.20 * grooves, 0.05, 0.95) * body * gap

    @staticmethod
    def along(axis, u, v, z):
        return axis[0] * u + axis[1] * v + axis[2] * z


def ringed_planet(shape, rng):
    rows, columns = shape
    y, x = grid(shape)
    picture = planet_sky(rng, shape)
    turn, size = np.radians(-20), 0.205
    dx, dy = (x - 0.52) / size, (y - 0.40) / size
    u, v = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    planet = Planet(rng)
    ball, ball_mask = planet.globe(u, v)
    ring, ring_mask, in_front = planet.rings(u, v)
    picture = mix(picture, ring, ring_mask * ~in_front)
    picture = mix(picture, ball, ball_mask)
    picture = mix(picture, ring, ring_mask * in_front)
    for near in (0.0, 0.5, 1.0):
        skyline = ridge_line(rng, columns, rows * 0.7, 1.8)
        foot = 0.85 + 0.08 * near
        top = rows * (foot - (0.050 + 0.015 * near) * skyline)
        rock = ramp(["#3b3560", "#1f1d40", "#0a0b1c"], near)
        rock = mix(rock, colour("#7a5c8c"), 0.7 * (1 - near) * smoothstep(-0.05, 0.09, y - foot))
        picture = mix(picture, rock, below(top, rows))
    return picture


def planet_sky(rng, shape):
    y, x = grid(shape)
    sky = ramp(["#070918", "#0e1230", "#2a2452", "#5b4379"], y, [0, 0.45, 0.75, 0.95])
    cloud = noise(rng, shape, shape[0] * 0.35, 2.6)
    band = np.exp(-((y - 0.55 + 0.5 * (x - 0.5)) / 0.28) ** 2)
    sky = mix(sky, colour("#6c3f86"), 0.32 * smoothstep(-0.3, 2.4, cloud) * band)
    sky = mix(sky, colour("#2c7d8f"), 0.22 * smoothstep(0, 2.5, -cloud) * band)
    return np.clip(sky + 0.9 * stars(rng, shape, 1700)[..., None], 0, 1)


# --- landscape/rolling-hills -------------------------------------------------

def rolling_hills(shape, rng):
    rows, columns = shape
    y, x = grid(shape)
    sun = (0.33, 1.08)
    picture = ramp(["#5fa8c9", "#a8d3d3", "#fbe7b8"], y, [0, 0.3, 0.55])
    picture = mix(picture, colour("#fff6d8"), 0.8 * glow(y, x, sun, 0.12))
    picture = mix(picture, colour("#fffdf0"), disc(y, x, sun, 0.055, 0.004))
    layers = 6
    for layer in range(layers):
        near = layer / (layers - 1)
        swell = noise(rng, (columns * 2,), rows * (0.7 + 0.5 * near), 3.2)[:columns]
        top = rows * (0.47 + 0.42 * near ** 1.2 - (0.028 + 0.03 * near) * swell)
        crest = ramp(["#a9cdb4", "#86bd95", "#5fa877", "#3b8f63", "#1f7354", "#0f5044"], near)
        foot = ramp(["#d8e6bd", "#b3d6a0", "#83bf7f", "#4d9f68", "#256f56", "#0a3b38"], near)
        hill = mix(crest, foot, smoothstep(0, 0.16, y - top / rows))
        picture = mix(picture, hill, below(top, rows))
    return picture


# --- abstract/flow-ribbons ---------------------------------------------------

def flow_ribbons(shape, rng):
    """Ribbons that follow one current and never touch each other."""
    rows, columns = shape
    turn = 0.55 * noise(rng, (rows // 8, columns // 8), rows / 8 * 0.75, 3.4) - 0.35
    taken = np.zeros((rows // 4, columns // 4), bool)
    canvas = Image.new("RGB", (columns, rows), "#f4ecdc")
    draw = ImageDraw.Draw(canvas)
    inks = ["#16324f", "#1f6f78", "#e4572e", "#f2a541", "#f6c9b5", "#8a2f3b", "#7fb7a6", "#16324f"]
    for width, tries in ((0.034, 700), (0.018, 2500), (0.009, 6000), (0.0045, 9000)):
        for _ in range(tries):
            start = rng.uniform(-0.02, 1.02, 2) * (columns, rows)
            path = drift(turn, taken, start, width * rows, rng.uniform(0.25, 1.1) * rows)
            if len(path) > 14:
                claim(taken, path, width * rows)
                ribbon(draw, path, width * rows, inks[rng.integers(len(inks))])
    return np.asarray(canvas, np.float32) / 255


def drift(turn, taken, start, width, length):
    """Walks along the current until something is in the way."""
    step = max(8.0, width * 0.22)
    x, y = start
    path = []
    while len(path) * step < length and is_free(taken, x, y, width):
        path.append((x, y))
        row = int(np.clip(y / 8, 0, turn.shape[0] - 1))
        column = int(np.clip(x / 8, 0, turn.shape[1] - 1))
        x += step * np.cos(turn[row, column] * 1.6)
        y += step * np.sin(turn[row, column] * 1.6)
    return path


def is_free(taken, x, y, width):
    """Whether a square as wide as the ribbon, and a gap, is still empty."""
    reach = width * 0.5 + taken.shape[0] * 0.0055
    left, right, top, bottom = (int(v / 4) for v in (x - reach, x + reach, y - reach, y + reach))
    if right < 0 or bottom < 0 or left >= taken.shape[1] or top >= taken.shape[0]:
        return False
    return not taken[max(top, 0):bottom + 1, max(left, 0):right + 1].any()


def claim(taken, path, width):
    mark = Image.new("1", taken.shape[::-1])
    ribbon(ImageDraw.Draw(mark), [(x / 4, y / 4) for x, y in path], width / 4, 1)
    taken |= np.asarray(mark)


def ribbon(draw, path, width, ink):
    """A band of even width with square ends, as one polygon."""
    points = np.array(path)
    along = np.gradient(points, axis=0)
    along /= np.hypot(along[:, 0], along[:, 1])[:, None]
    side = along[:, ::-1] * (-width / 2, width / 2)
    outline = np.concatenate([points + side, (points - side)[::-1]])
    draw.polygon([tuple(point) for point in outline], fill=ink)


# --- abstract/rose-window ----------------------------------------------------

def rose_window(shape, rng):
    """A round window of voronoi glass, twelve-fold, on a clear ground."""
    y, x = grid(shape)
    radius, angle = np.hypot(y - 0.5, x - 0.5), np.arctan2(y - 0.5, x - 0.5)
    wedge = np.pi / 12
    folded = np.abs((angle + wedge) % (2 * wedge) - wedge)
    u, v = radius * np.cos(folded), radius * np.sin(folded)
    seeds, kinds = rose_seeds(rng, wedge)
    cell, border = nearest(u, v, seeds)
    glass = rose_glass(rng, seeds, kinds)[cell]
    pane = mix(glass, colour("#ffffff"), 0.05)
    picture = mix(0.84 * glass, pane, smoothstep(0.0078, 0.0086, border))
    lead = np.maximum(smoothstep(0.0042, 0.0034, border), smoothstep(0.4475, 0.4485, radius))
    picture = mix(picture, colour("#1d1a26"), lead)
    band = smoothstep(0.0045, 0.0037, np.abs(radius - 0.469))
    picture = mix(picture, colour("#e0a94a"), band)
    return np.dstack([picture, smoothstep(0.4905, 0.4895, radius)])


def rose_seeds(rng, wedge):
    """Evenly spread seeds of one wedge with both mirror images.

    Also says which seeds are the same piece of glass.
    """
    seeds = mirrored(np.array([[0.0, 0.0]]), wedge)
    for _ in range(24):
        radius = 0.46 * np.sqrt(rng.uniform(0.01, 1, 60))
        angle = rng.uniform(0, 1, 60).round(1) * wedge
        options = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        room = [roominess(option, seeds, wedge) for option in options]
        seeds = np.concatenate([seeds, mirrored(options[[np.argmax(room)]], wedge)])
    return seeds, np.repeat(np.arange(len(seeds) // 3), 3)


def mirrored(points, wedge):
    """Points with their reflections in both edges of the wedge."""
    u, v = points[:, 0], points[:, 1]
    cos, sin = np.cos(2 * wedge), np.sin(2 * wedge)
    low = np.stack([u, -v], axis=1)
    high = np.stack([u * cos + v * sin, u * sin - v * cos], axis=1)
    return np.concatenate([points, low, high])


def roominess(option, seeds, wedge):
    """Distance to the closest seed; a point on a mirror does not crowd itself."""
    twins = np.hypot(*(mirrored(option[None], wedge)[1:] - option).T)
    others = np.hypot(*(seeds - option).T)
    return min([*others, *twins[twins > 1e-6]]) / (0.3 + np.hypot(*option))


def nearest(u, v, seeds):
    """Index of the closest seed, and the exact distance to the cell's border."""
    best = np.full(u.shape, np.inf, np.float32)
    cell = np.zeros(u.shape, int)
    for index, (su, sv) in enumerate(seeds):
        square = (u - su) ** 2 + (v - sv) ** 2
        cell = np.where(square < best, index, cell)
        best = np.minimum(best, square)
    border = np.full(u.shape, np.inf, np.float32)
    for su, sv in seeds:
        apart = np.hypot(su - seeds[cell, 0], sv - seeds[cell, 1])
        gap = ((u - su) ** 2 + (v - sv) ** 2 - best) / np.maximum(2 * apart, 1e-6)
        border = np.where(apart > 1e-6, np.minimum(border, gap), border)
    return cell, border


def rose_glass(rng, seeds, kinds):
    """One colour per seed: warm in the middle, cool outside, the odd jewel."""
    reach = np.hypot(seeds[:, 0], seeds[:, 1])
    shift = rng.normal(0, 0.06, kinds.max() + 1)[kinds]
    codes = ["#ffe08a", "#f7a13d", "#dd4b39", "#a3264f", "#5b2a86", "#2757b0", "#1f93a8", "#5cc2a0"]
    return ramp(codes, reach / 0.47 + shift)


# --- abstract/coral-growth ---------------------------------------------------

def coral_growth(shape, rng):
    """A reaction-diffusion pattern, lit like a relief."""
    pattern = grow(rng, 360, 7000)
    height = np.asarray(Image.fromarray(pattern).resize(shape[::-1], Image.Resampling.BICUBIC))
    y, x = grid(shape)
    coral = smoothstep(0.13, 0.17, height)
    shadow = np.roll(blur(coral, shape[0] * 0.005), (shape[0] // 110, shape[0] // 160), (0, 1))
    ground = ramp(["#10324f", "#1b5a70", "#2b8a8a"], 1 - np.hypot(y - 0.3, x - 0.35))
    ground = ground * (1 - 0.6 * shadow)[..., None]
    tint = 0.5 * (x + y) + 0.06 * noise(rng, shape, shape[0] * 0.3, 3)
    body = ramp(["#ffe3b8", "#ffb98a", "#f5806b", "#d9536f", "#a83f79"], tint)
    slope_y, slope_x = np.gradient(blur(height, shape[0] * 0.002) * shape[0] * 0.02)
    light = (1 - 0.7 * slope_x - 0.9 * slope_y) / np.sqrt(1 + slope_x ** 2 + slope_y ** 2)
    body = body * (0.38 + 0.62 * light)[..., None]
    return vignette(np.clip(mix(ground, body, coral), 0, 1), 0.25)


def grow(rng, size, steps):
    """Gray-Scott on a torus; the feed rate varies from place to place."""
    feed = 0.0385 + 0.006 * noise(rng, (size, size), size * 0.4, 3)
    feed = np.clip(feed, 0.030, 0.050)
    u = np.ones((size, size), np.float32)
    v = np.zeros((size, size), np.float32)
    for row, column in rng.integers(0, size - 8, (60, 2)):
        v[row:row + 6, column:column + 6] = 0.5
    for _ in range(steps):
        reaction = u * v * v
        u += 0.16 * spread(u) - reaction + feed * (1 - u)
        v += 0.08 * spread(v) + reaction - (feed + 0.061) * v
    return v


def spread(values):
    """Discrete Laplacian of a field that wraps around."""
    sides = sum(np.roll(values, step, axis) for axis in (0, 1) for step in (-1, 1))
    return sides - 4 * values


# --- abstract/contour-map ----------------------------------------------------

def contour_map(shape, rng):
    """A made-up island chain as a flat, printed-looking map."""
    rows = shape[0]
    height = 3.1 * noise(rng, shape, rows * 0.30, 3.6) + 0.22 * noise(rng, shape, rows * 0.05, 3.2)
    steep = np.hypot(*np.gradient(height))
    level = np.floor(height)
    land = ["#f3e3bf", "#efd3a0", "#e8bd82", "#dfa26a", "#cf8459", "#b5654d", "#944b45", "#6f363e"]
    sea = ["#bfdcd3", "#9cc9c6", "#76b0b5", "#5295a2", "#36788d", "#235b75", "#17425d", "#0f2e48"]
    picture = ramp(sea[::-1] + land, (level + 8) / 15)
    ink = mix(picture, colour("#2b1d2e"), np.full(shape, 0.42))
    for every, width in ((0.5, 0.0005), (2, 0.0011)):
        away = np.abs(height / every - np.round(height / every)) * every / steep / rows
        picture = mix(picture, ink, smoothstep(width + 0.0004, width - 0.0004, away))
    shore = np.abs(height) / steep / rows
    return mix(picture, colour("#fff8e6"), smoothstep(0.0026, 0.0018, shore))


# --- abstract/quarter-circles ------------------------------------------------

def quarter_circles(shape, rng):
    """Square tiles with arcs in a handful of poster colours."""
    tiles = 6
    size = shape[0] // tiles
    picture = np.empty((*shape, 3), np.float32)
    for row in range(tiles):
        for column in range(tiles):
            block = np.s_[row * size:(row + 1) * size, column * size:(column + 1) * size]
            picture[block] = arc_tile(rng, size)
    return picture


def arc_tile(rng, size):
    inks = [colour(code) for code in ("#f4e9d4", "#1d3f58", "#e2553d", "#f0b03f", "#5f9e92")]
    ground, first, second = (inks[i] for i in rng.permutation(len(inks))[:3])
    y, x = grid((size, size))
    corner = np.hypot(y, x)
    kind = rng.integers(4)
    if kind == 0:
        tile = mix(mix(ground, first, corner < 1), second, corner < 0.5)
    elif kind == 1:
        tile = mix(mix(ground, first, corner < 0.75), second, corner < 0.25)
    elif kind == 2:
        tile = mix(ground, first, (np.hypot(y, x - 0.5) < 0.5) | (np.hypot(y - 1, x - 0.5) < 0.5))
    else:
        tile = mix(mix(ground, first, corner < 1), second, np.hypot(y - 1, x - 1) < 0.5)
    return np.rot90(tile, rng.integers(4))


# --- abstract/marbled-ink ----------------------------------------------------

def marbled_ink(shape, rng):
    """Marbled paper: drops push earlier ink aside, then a comb is drawn through.

    Every move can be undone exactly, so each pixel is followed back in time to
    the drop that it came from.
    """
    y, x = grid(shape)
    inks = ["#f3e6cf", "#17324d", "#c8473a", "#e9a23b", "#2f7f86", "#f3e6cf", "#17324d"]
    y = y + 0.12 * np.sin(x / 0.10)
    x = x + 0.08 * np.sin(y / 0.07)
    picture = np.broadcast_to(colour("#f3e6cf"), (*shape, 3)).copy()
    loose = np.ones(shape, bool)
    for _ in range(240):
        centre = rng.uniform(-0.1, 1.1), rng.uniform(-0.1, 1.6)
        radius = rng.uniform(0.03, 0.12)
        ink = colour(inks[rng.integers(len(inks))])
        dy, dx = y - centre[0], x - centre[1]
        square = dy ** 2 + dx ** 2
        hit = loose & (square < radius ** 2)
        picture[hit] = ink
        loose &= ~hit
        pull = np.sqrt(np.clip(1 - radius ** 2 / np.maximum(square, 1e-9), 0, None))
        y, x = centre[0] + dy * pull, centre[1] + dx * pull
    return picture


# --- the list, and writing it out --------------------------------------------

@dataclass(frozen=True)
class Sample:
    """One picture: where it goes, how large, who paints it and how it is saved."""

    path: str
    size: tuple[int, int]
    paint: Callable
    seed: int
    oversample: int = 2
    grain: float = 0.006
    colours: int | None = None
    save: dict = field(default_factory=dict)


JPEG = {"quality": 85, "optimize": True, "progressive": True}
WEBP = {"quality": 86, "method": 6}
PNG = {"optimize": True}
TIFF = {"compression": "tiff_lzw"}

SAMPLES = [
    Sample("landscape/dusk-mountains.jpg", (1600, 1000), dusk_mountains, 11, save=JPEG),
    Sample("landscape/misty-forest.jpg", (900, 1400), misty_forest, 5, oversample=3, save=JPEG),
    Sample("landscape/desert-dunes.jpg", (1600, 1000), desert_dunes, 3, save=JPEG),
    Sample("landscape/northern-lights.jpg", (1280, 720), northern_lights, 6, save=JPEG),
    Sample("landscape/night-city.jpg", (1280, 720), night_city, 21, save=JPEG),
    Sample("landscape/evening-sea.jpg", (900, 1400), evening_sea, 4, save=JPEG),
    Sample("landscape/ringed-planet.webp", (1000, 1000), ringed_planet, 9, save=WEBP),
    Sample("landscape/rolling-hills.bmp", (320, 200), rolling_hills, 2, oversample=4, grain=0.004),
    Sample("abstract/flow-ribbons.png", (1600, 1000), flow_ribbons, 6,
           oversample=3, grain=0, colours=64, save=PNG),
    Sample("abstract/coral-growth.jpg", (1000, 1000), coral_growth, 1, save=JPEG),
    Sample("abstract/rose-window.png", (1000, 1000), rose_window, 12,
           grain=0, colours=256, save=PNG),
    Sample("abstract/contour-map.png", (900, 1400), contour_map, 7,
           grain=0, colours=128, save=PNG),
    Sample("abstract/quarter-circles.gif", (960, 960), quarter_circles, 14,
           oversample=4, grain=0, colours=64),
    Sample("abstract/marbled-ink.tif", (600, 400), marbled_ink, 10,
           oversample=4, grain=0, save=TIFF),
]


def shrink(picture, factor):
    """Averages blocks of `factor` x `factor` pixels."""
    rows, columns, channels = picture.shape
    blocks = picture.reshape(rows // factor, factor, columns // factor, factor, channels)
    return blocks.mean(axis=(1, 3))


def render(sample):
    """Paints a sample and turns it into an image of its final size and mode."""
    rng = np.random.default_rng(sample.seed)
    width, height = sample.size
    shape = height * sample.oversample, width * sample.oversample
    picture = shrink(sample.paint(shape, rng), sample.oversample)
    picture = picture + sample.grain * rng.standard_normal((height, width, 1))
    image = Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))
    if sample.colours:
        method = Image.Quantize.FASTOCTREE if image.mode == "RGBA" else Image.Quantize.MEDIANCUT
        image = image.quantize(sample.colours, method=method, dither=Image.Dither.NONE)
    return image


def main(words):
    for sample in SAMPLES:
        if words and not any(word in sample.path for word in words):
            continue
        target = HERE / sample.path
        target.parent.mkdir(exist_ok=True)
        render(sample).save(target, **sample.save)
        print(f"{sample.path}  {sample.size[0]}x{sample.size[1]}  {target.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main(sys.argv[1:])
