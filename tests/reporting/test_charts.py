import re

from cai_lite.reporting.charts import curve, dumbbells
from cai_lite.stats import Comparison, Figure


def comparison(before, after):
    return Comparison(*(Figure(value, 9, 0.0, 1.0) for value in (before, after, after - before)))


def test_dots_stand_where_their_values_are():
    """The scale begins at x = 156 for 0 and ends at 488 for 1: 0.25 stands at 239 and 0.75 at 405."""
    made = dumbbells({"kind": comparison(0.25, 0.75)})
    assert re.findall(r'<circle cx="([\d.]+)"', made) == ["239.0", "405.0"]
    assert "+0.50" in made and ">kind<" in made


def test_a_curve_goes_from_its_first_value_to_its_last_and_names_it():
    """Two values, high then low: from the top (26) at the left (48) to the bottom (148) at the right (264)."""
    made = curve("loss", {"": [2.0, 1.0]})
    assert 'points="48.0,26.0 264.0,148.0"' in made and ">1<" in made


def test_a_flat_curve_is_drawn_in_the_middle():
    assert 'points="48.0,87.0 264.0,87.0"' in curve("loss", {"": [1.0, 1.0]})


def test_ends_of_two_lines_do_not_lie_on_each_other():
    made = curve("logps", {"chosen": [0.0, 1.0], "rejected": [0.5, 1.0]})
    heights = [float(y) for y in re.findall(r'y="([\d.]+)" text-anchor="start" class="end', made)]
    assert abs(heights[0] - heights[1]) >= 12


def test_a_line_goes_through_the_steps_at_which_it_was_measured():
    made = curve("loss", {"training": [4.0, 3.0, 2.0], "held out": [None, 3.0, 2.5]})
    assert 'points="151.0,87.0 254.0,117.5"' in made and ">held out 2.5<" in made
