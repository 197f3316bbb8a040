"""A picture for each row, from the numbers of a run.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import math
import os

from picture import draw_blackouts
from svg import (BLUE, FAINT, GREEN, GREY, INK, ORANGE, RED, VIOLET, Drawing,
                 Panel)

from table import number
from targets import (COUNTING, PLAIN, PROTECTED, TARGETS, judge,
                     medians)

WIDTH, HEIGHT = 460, 250
BOX = (62, 62, 375, 140)
COLOURS = {PLAIN: GREY, COUNTING: BLUE, PROTECTED: ORANGE,
           'against': VIOLET, 'alone': GREEN}
HEADROOM = 1.2
SLOTS = 3               # of bars, at least
CURVE_POINTS = 100
DECADES = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000)
# Rows whose single values make a curve.
CURVES = {'ping': 'Ping', 'http': 'HTTP, 12 KiB, a connection each',
          'redis': 'redis SET, synced, one at a time'}


def _title(drawing, title, text):
    drawing.text(16, 24, title, 14, INK, font_weight='bold')
    drawing.text(16, 42, text, 11, FAINT)


def _legend(drawing, texts, y):
    """texts: {mode: what is said about it}"""
    x = BOX[0]
    for mode, text in texts.items():
        drawing.rect(x, y - 9, 10, 10, COLOURS.get(mode, GREY))
        drawing.text(x + 15, y, text, 11, FAINT)
        x += 28 + 6.5 * len(text)


def _values(data, row, key):
    """{mode: [the rounds' values]}"""
    found = {}
    for run in data['runs']:
        value = run['rows'].get(row, {}).get(key)
        if value is not None:
            found.setdefault(run['mode'], []).append(value)
    return found


def _bound(target, values):
    """What the protected value may be, in the row's own unit."""
    if target.how == 'speed':
        return values[PLAIN] / target.to_reach
    if target.how == 'counting':
        return values[COUNTING] / target.to_reach
    if target.how == 'rate':
        return values[PLAIN] * target.to_reach
    if target.how == 'added':
        return values[PLAIN] + target.to_reach
    return target.to_reach


def _draw_bound(panel, value):
    y = panel.y(value)
    right = panel.left + panel.width
    text = f'to reach: {number(value)}'
    panel.drawing.line(panel.left, y, right, y, RED, stroke_dasharray='5 3',
                       stroke_width=1.5)
    width = 6 + 5.7 * len(text)
    panel.drawing.rect(right - width, y - 15, width, 13, '#ffffff',
                       fill_opacity=0.7)
    panel.drawing.text(right - 2, y - 4, text, 10, RED, 'end')


def draw_rounds(data, target, path):
    """Each round's value as a dot, the median as a bar."""
    rounds = _values(data, target.row, target.key)
    middle = medians(data)
    values, figure, verdict = judge(target, middle)
    modes = [mode for mode in data['modes'] if mode in values]
    bound = _bound(target, values) if figure is not None else None
    every = [value for some in rounds.values() for value in some]
    top = max([*every, *values.values(), bound or 0]) * HEADROOM
    drawing = Drawing(WIDTH, HEIGHT)
    what = f'figure {number(figure)} {target.figure_unit}' \
        if figure is not None else 'not measured'
    _title(drawing, f'{target.name} ({target.unit})',
           f'{what}, to reach {number(target.to_reach)}: {verdict}')
    panel = Panel(drawing, BOX, (0, max(len(modes), SLOTS)), top)
    panel.axes('')
    for index, mode in enumerate(modes):
        left, right = panel.x(index + 0.2), panel.x(index + 0.8)
        top_y = panel.y(values[mode])
        drawing.rect(left, top_y, right - left, panel.bottom - top_y,
                     COLOURS.get(mode, GREY), fill_opacity=0.45)
        some = rounds.get(mode, [])
        for place, value in enumerate(some):
            x = left + (right - left) * (place + 1) / (len(some) + 1)
            drawing.add('circle', cx=x, cy=panel.y(value), r=3.0,
                        fill=COLOURS.get(mode, GREY))
        drawing.text((left + right) / 2, panel.bottom + 18,
                     f'{mode}: {number(values[mode])}', 11, INK, 'middle')
    if bound is not None:
        _draw_bound(panel, bound)
    drawing.save(path)


def _curve(values):
    """[(value, share of those that are not larger)], few enough to draw."""
    values = sorted(values)
    step = max(1, len(values) // CURVE_POINTS)
    points = [(values[index], (index + 1) / len(values))
              for index in range(0, len(values), step)]
    return points + [(values[-1], 1.0)]


def draw_curves(data, row, path):
    """How many answers came within so many ms; the axis has decades."""
    every = {mode: [value for some in lists for value in some] for
             mode, lists in _values(data, row, 'all_ms').items()}
    least = min(min(values) for values in every.values())
    most = max(max(values) for values in every.values())
    low = max([d for d in DECADES if d <= least] or DECADES[:1])
    high = min([d for d in DECADES if d >= most] or DECADES[-1:])
    drawing = Drawing(WIDTH, HEIGHT + 16)
    middle = medians(data)
    _title(drawing, CURVES[row], 'share of answers within so many ms; '
           'below: medians, ms')
    panel = Panel(drawing, BOX, (math.log(low), math.log(high)), 1.0)
    panel.axes('')
    for decade in DECADES:
        if low <= decade <= high:
            x = panel.x(math.log(decade))
            drawing.line(x, panel.top, x, panel.bottom)
            drawing.text(x, panel.bottom + 16, f'{decade:g}', 10, FAINT,
                         'middle')
    for mode in data['modes']:
        if mode in every:
            drawing.path([(panel.x(math.log(max(value, low))),
                           panel.y(share)) for value, share
                          in _curve(every[mode])], fill='none',
                         stroke=COLOURS.get(mode, GREY), stroke_width=2)
    _legend(drawing, {
        mode: f'{mode} {number(middle[mode][row]["median_ms"])}'
        for mode in data['modes'] if mode in every}, panel.bottom + 40)
    drawing.save(path)


def draw_series(samples, title, text, target, path):
    """Lag over time; target may be None."""
    drawing = Drawing(WIDTH, HEIGHT)
    _title(drawing, title, text)
    top = max([value for _, value in samples] + [target or 0]) * HEADROOM
    panel = Panel(drawing, BOX, (0, samples[-1][0] or 1), top)
    panel.axes('', 'seconds')
    step = max(1, len(samples) // 600)
    drawing.path([(panel.x(moment), panel.y(value))
                  for moment, value in samples[::step]],
                 fill='none', stroke=ORANGE, stroke_width=1.2)
    if target is not None:
        _draw_bound(panel, target)
    drawing.save(path)


def _rows_of_targets():
    """The first target of each row that is drawn by rounds."""
    first = {}
    for target in TARGETS:
        if target.row not in (*CURVES, 'lag', 'kill', 'power', 'busy',
                              'digests'):
            first.setdefault(target.row, target)
    # The log of redis is a row of its own, beside its curve.
    first['redis-log'] = next(target for target in TARGETS
                              if target.row == 'redis')
    return first


def _draw_lag(data, path):
    figures = data['once']['lag']
    draw_series(figures['samples'], 'Lag of the backup (ms), the guest '
                'computes', f'median of the first 10 s '
                f'{number(figures["first_ms"])}, of the last '
                f'{number(figures["last_ms"])}; largest '
                f'{number(figures["max_ms"])}',
                next(t.to_reach for t in TARGETS if t.row == 'lag'), path)


def _draw_digests(data, path):
    figures = data['once']['digests']
    turns = figures['forks_seconds']
    colours = (COLOURS[PLAIN], COLOURS[PROTECTED])
    drawing = Drawing(WIDTH, HEIGHT + 16)
    _title(drawing, '400 processes (s), each turn with digests and without',
           f'{number(figures["forks_seconds_percent"])} % longer with them '
           '(median of the turns)')
    panel = Panel(drawing, BOX, (0, len(turns) + 1),
                  max(max(turn) for turn in turns) * HEADROOM)
    panel.axes('')
    for place, turn in enumerate(turns, 1):
        for value, colour in zip(turn, colours):
            drawing.add('circle', cx=panel.x(place), cy=panel.y(value), r=3.0,
                        fill=colour)
    _legend(drawing, {PLAIN: 'without', PROTECTED: 'with'}, panel.bottom + 40)
    drawing.save(path)


def _draw_busy(data, path):
    figures = data['once']['busy']
    draw_series(figures['samples'], 'Lag of the backup (ms), all cores busy',
                f'{figures["minutes"]:g} minutes, {figures["false"]} false '
                'takeovers', None, path)


def draw_all(data, directory):
    """[(row, file name)] in the order of the page; what failed is left out."""
    os.makedirs(directory, exist_ok=True)
    middle = medians(data)
    drawn = []

    def draw(row, step):
        name = f'{row}.svg'
        try:
            step(os.path.join(directory, name))
        except (KeyError, ValueError, IndexError):
            return              # some of its numbers are missing
        drawn.append((row, name))

    for row, target in _rows_of_targets().items():
        if judge(target, middle)[0]:
            draw(row, lambda path, t=target: draw_rounds(data, t, path))
    for row in CURVES:
        draw(row, lambda path, row=row: draw_curves(data, row, path))
    draw('lag', lambda path: _draw_lag(data, path))
    draw('digests', lambda path: _draw_digests(data, path))
    draw('busy', lambda path: _draw_busy(data, path))
    for row in ('kill', 'power'):
        draw(row, lambda path, row=row: draw_blackouts(
            data['once'][row]['cycles'], path))
    return drawn
