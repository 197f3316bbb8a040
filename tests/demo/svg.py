"""Just enough SVG for pictures of measurements.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from xml.sax.saxutils import escape, quoteattr

INK, FAINT, GRID = '#1f2933', '#616e7c', '#e4e7eb'
BLUE, RED, GREEN, ORANGE, VIOLET, GREY, BROWN = (
    '#2f6db5', '#c5303c', '#2b8a57', '#d9822b', '#7a4fb5', '#9aa5b1',
    '#8a5a44')


def _number(value):
    return f'{value:.2f}' if isinstance(value, float) else str(value)


class Drawing:
    """Elements in the order in which they are painted."""

    def __init__(self, width, height):
        self.width, self.height = width, height
        self._parts = []

    def add(self, tag, text=None, **attributes):
        words = ''.join(
            f' {key.replace("_", "-")}={quoteattr(_number(value))}'
            for key, value in attributes.items())
        body = '/>' if text is None else f'>{escape(text)}</{tag}>'
        self._parts.append(f'<{tag}{words}{body}')

    def rect(self, x, y, width, height, fill, **more):
        self.add('rect', x=float(x), y=float(y), width=float(width),
                 height=float(height), fill=fill, **more)

    def line(self, x1, y1, x2, y2, stroke=GRID, **more):
        self.add('line', x1=float(x1), y1=float(y1), x2=float(x2),
                 y2=float(y2), stroke=stroke, **more)

    def text(self, x, y, text, size=13, fill=INK, anchor='start', **more):
        self.add('text', text, x=float(x), y=float(y), font_size=size,
                 fill=fill, text_anchor=anchor, **more)

    def path(self, points, **more):
        self.add('path', d='M' + ' L'.join(f'{x:.2f},{y:.2f}'
                                           for x, y in points), **more)

    def save(self, path):
        head = (f'<svg xmlns="http://www.w3.org/2000/svg" '
                f'width="{self.width}" height="{self.height}" '
                f'viewBox="0 0 {self.width} {self.height}" '
                'font-family="DejaVu Sans, Helvetica, Arial, sans-serif">')
        with open(path, 'w', encoding='utf-8') as file:
            file.write('\n'.join(
                ['<?xml version="1.0" encoding="UTF-8"?>', head,
                 f'<rect width="{self.width}" height="{self.height}" '
                 'fill="#ffffff"/>', *self._parts, '</svg>', '']))


def nice_step(span, count):
    """A round distance of grid lines: about count of them in span."""
    if span <= 0:
        return 1
    power = 1.0
    while power * 10 <= span / count:
        power *= 10
    while power > span / count:
        power /= 10
    return next(power * factor for factor in (1, 2, 5, 10)
                if power * factor >= span / count)


class Panel:
    """A rectangle with two linear axes."""

    def __init__(self, drawing, box, x_range, y_top):
        self.drawing = drawing
        self.left, self.top, self.width, self.height = box
        self._x0, self._x1 = x_range
        self._y_top = y_top or 1

    @property
    def bottom(self):
        return self.top + self.height

    def x(self, value):
        span = self._x1 - self._x0
        return self.left + (value - self._x0) / span * self.width

    def y(self, value):
        return self.bottom - min(value / self._y_top, 1) * self.height

    def axes(self, title, x_label=None):
        drawing = self.drawing
        drawing.text(self.left, self.top - 12, title, 13, INK,
                     font_weight='bold')
        step = nice_step(self._y_top, 4)
        value = 0
        while value <= self._y_top * 1.001:
            drawing.line(self.left, self.y(value), self.left + self.width,
                         self.y(value))
            drawing.text(self.left - 8, self.y(value) + 4, f'{value:,.4g}',
                         11, FAINT, 'end')
            value += step
        if x_label:
            self.x_axis(x_label)

    def x_axis(self, label):
        drawing = self.drawing
        step = nice_step(self._x1 - self._x0, 10)
        number = int(self._x0 / step)
        while number * step <= self._x1:
            if number * step >= self._x0:
                drawing.text(self.x(number * step), self.bottom + 18,
                             f'{number * step:.4g}', 11, FAINT, 'middle')
            number += 1
        drawing.text(self.left + self.width, self.bottom + 36, label, 11,
                     FAINT, 'end')
