"""The demo's pictures: the time line of a cycle, and all its blackouts.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import statistics

from svg import (BLUE, BROWN, FAINT, GREEN, GREY, INK, ORANGE, RED, VIOLET,
                 Drawing, Panel)

WIDTH = 1000
LEFT, RIGHT = 70, 30
BIN_S = 0.05
SHADE = '#fbe9ea'
# The steps of a takeover, as query-ft names them, what each is, its colour.
STEPS = {
    'detection': ('until the backup suspects', GREY),
    'lease': ('the lease', VIOLET),
    'fence': ('shutting the primary out of the disk', BROWN),
    'drain': ('executing the rest of the log', ORANGE),
    'switch': ('going live', RED),
    'announcement': ('announcing the MAC', GREEN),
    'client': ('the client\'s retransmission and its answer', BLUE),
}


def duration(seconds):
    if seconds is None:
        return '-'
    if seconds < 0.0995:
        return f'{seconds * 1000:.1f} ms'
    if seconds < 0.9995:
        return f'{seconds * 1000:.0f} ms'
    return f'{seconds:.2f} s'


def _rates(acks, first, last):
    """[(time, acknowledgements a second)] by bins."""
    bins = [0] * max(1, int((last - first) / BIN_S))
    for ack in acks:
        if first <= ack < first + len(bins) * BIN_S:
            bins[int((ack - first) / BIN_S)] += 1
    return [(first + index * BIN_S, number / BIN_S)
            for index, number in enumerate(bins)]


def _step_path(panel, series):
    points = []
    for start, value in series:
        points += [(panel.x(start), panel.y(value)),
                   (panel.x(start + BIN_S), panel.y(value))]
    return points


def steps(result):
    """[(name, start, end)] of the takeover, in seconds from the kill."""
    rows, before = [], 0.0
    for name, moment in result['phases']:
        moment = max(moment, before)
        rows.append((name, before, moment))
        before = moment
    return rows


def _steps(result):
    """[(label, colour, start, end)]"""
    return [(*STEPS[name], start, end) for name, start, end in steps(result)]


def _draw_rate(drawing, result, box, x_range):
    acks = result['acks_from_kill_s']
    series = _rates(acks, *x_range)
    top = max(value for _, value in series) * 1.15
    panel = Panel(drawing, box, x_range, top)
    start, end = result['blackout_from_kill_s']
    drawing.rect(panel.x(start), panel.top, panel.x(end) - panel.x(start),
                 panel.height, SHADE)
    panel.axes('Acknowledged writes a second, as the client sees them')
    line = _step_path(panel, series)
    drawing.path([(line[0][0], panel.bottom), *line,
                  (line[-1][0], panel.bottom)], fill=BLUE, fill_opacity=0.25)
    drawing.path(line, fill='none', stroke=BLUE, stroke_width=1.5)
    drawing.line(panel.x(0), panel.top - 4, panel.x(0), panel.bottom, RED,
                 stroke_width=2)
    drawing.text(panel.x(0) - 6, panel.top + 12, 'kill', 12, RED, 'end',
                 font_weight='bold')
    drawing.text((panel.x(start) + panel.x(end)) / 2,
                 panel.top + panel.height / 2,
                 duration(result['blackout_s']), 15, RED, 'middle',
                 font_weight='bold')
    return panel


def _draw_lag(drawing, result, box, x_range):
    samples = [(t, ms) for t, ms, _, _ in result['lag_samples']
               if t >= x_range[0]]
    top = max([ms for _, ms in samples] + [10]) * 1.15
    panel = Panel(drawing, box, x_range, top)
    start, end = result['blackout_from_kill_s']
    drawing.rect(panel.x(start), panel.top, panel.x(end) - panel.x(start),
                 panel.height, SHADE)
    panel.axes('Lag of the backup, ms', 'seconds from the kill')
    if samples:
        drawing.path([(panel.x(t), panel.y(ms)) for t, ms in samples],
                     fill='none', stroke=ORANGE, stroke_width=1.5)
    drawing.line(panel.x(0), panel.top - 4, panel.x(0), panel.bottom, RED,
                 stroke_width=2)
    drawing.text(panel.x(end) + 8, panel.bottom - 8,
                 'the survivor runs alone, not protected', 11, FAINT)


def _draw_steps(drawing, result, top):
    rows = _steps(result)
    if not rows:
        return
    drawing.text(LEFT, top, 'From the kill to the client\'s next '
                 'acknowledgement', 13, INK, font_weight='bold')
    width, total = WIDTH - LEFT - RIGHT, max(rows[-1][3], 1e-6)
    drawing.text(LEFT + 400, top + 56, 'took', 11, FAINT, 'end')
    drawing.text(LEFT + 520, top + 56, 'done at', 11, FAINT, 'end')
    for _, colour, start, end in rows:
        drawing.rect(LEFT + start / total * width, top + 14,
                     max((end - start) / total * width, 1.5), 26, colour)
    for index, (label, colour, start, end) in enumerate(rows):
        y = top + 77 + index * 21
        drawing.rect(LEFT, y - 10, 12, 12, colour)
        drawing.text(LEFT + 22, y, label, 12)
        drawing.text(LEFT + 400, y, duration(end - start), 12, INK, 'end')
        drawing.text(LEFT + 520, y, f'{end:.3f} s', 12, FAINT, 'end')


def draw_timeline(result, path):
    """The cycle around its kill."""
    steps = len(_steps(result))
    drawing = Drawing(WIDTH, 500 + (103 + 21 * steps if steps else 0))
    lost = result['lost'] + result['wrong']
    drawing.text(LEFT, 38, 'One TCP connection through the loss of its '
                 'server\'s host', 20, INK, font_weight='bold')
    drawing.text(LEFT, 62, f'{result["acknowledged"]:,} writes to '
                 f'redis-server acknowledged, {lost:,} lost; '
                 f'{duration(result["blackout_s"])} without an '
                 'acknowledgement', 14, FAINT)
    first = max(-5.0, result['acks_from_kill_s'][0])
    last = min(result['acks_from_kill_s'][-1],
               result['blackout_from_kill_s'][1] + 5.0)
    width = WIDTH - LEFT - RIGHT
    _draw_rate(drawing, result, (LEFT, 110, width, 190), (first, last))
    _draw_lag(drawing, result, (LEFT, 345, width, 90), (first, last))
    _draw_steps(drawing, result, 520)
    drawing.save(path)


def _draw_legend(drawing, y):
    x = LEFT
    for label, colour in STEPS.values():
        drawing.rect(x, y, 10, 10, colour)
        drawing.text(x + 15, y + 9, label, 10, FAINT)
        x += 36 + 5.7 * len(label)


def draw_blackouts(results, path):
    """Every cycle's blackout as a bar of its steps, the shortest first."""
    results = sorted(results, key=lambda result: result['blackout_s'])
    worst = results[-1]['blackout_s']
    median = statistics.median(result['blackout_s'] for result in results)
    height = 26 * len(results)
    drawing = Drawing(WIDTH, 190 + height)
    drawing.text(LEFT, 38, f'Blackout in {len(results)} kills', 20, INK,
                 font_weight='bold')
    drawing.text(LEFT, 62, f'median {duration(median)}, worst '
                 f'{duration(worst)}', 14, FAINT)
    panel = Panel(drawing, (LEFT, 100, WIDTH - LEFT - RIGHT - 60, height),
                  (0, worst * 1.05), 1)
    panel.x_axis('seconds from the kill')
    drawing.line(panel.x(median), panel.top - 6, panel.x(median),
                 panel.bottom + 4, INK, stroke_dasharray='4 3')
    for index, result in enumerate(results):
        y = panel.top + index * 26
        drawing.text(LEFT - 10, y + 17, f'{result["cycle"]}', 11, FAINT,
                     'end')
        for _, colour, start, end in _steps(result):
            drawing.rect(panel.x(start), y + 4,
                         max(panel.x(end) - panel.x(start), 1), 18, colour)
        drawing.text(WIDTH - RIGHT, y + 17, duration(result['blackout_s']),
                     11, INK, 'end')
    _draw_legend(drawing, panel.bottom + 50)
    drawing.save(path)
