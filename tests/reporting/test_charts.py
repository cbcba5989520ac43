import re

from cai_lite.reporting.charts import curve, dumbbells, parallel, plane, strip
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


def fits(made, letter=6.0):
    """Whether every label lies inside of the picture, at `letter` pixels a letter."""
    width = float(re.search(r'viewBox="0 0 ([\d.]+) ', made)[1])
    for x, anchor, text in re.findall(r'<text x="([\d.]+)"[^>]*text-anchor="(\w+)"[^>]*>([^<]*)<', made):
        room = letter * len(text)
        start = float(x) - {"start": 0, "middle": room / 2, "end": room}[anchor]
        assert start >= 0 and start + room <= width, text
    return True


LONG = "promise-beyond-policy-and-some-more-words-that-go-on-and-on"


def test_long_labels_are_never_clipped():
    assert fits(dumbbells({LONG: comparison(0.2, 0.7)}))
    assert fits(curve("loss", {f"held out {LONG}": [1.0, 0.123], "training": [1.0, 0.5]}))
    made = curve("loss", {f"held out {LONG}": [1.0, 0.5]})
    assert "… 0.5<" in made  # the value is never cut
    made = parallel(["a", LONG], {LONG: [0.1, 0.2], "b": [0.3, 0.4]})
    assert f">{LONG}</text>" not in made and float(re.search(r'viewBox="0 0 ([\d.]+) ', made)[1]) > 390 + 6 * 40


def test_a_strip_has_the_colour_of_its_change():
    made = strip(comparison(0.25, 0.75), "bad")
    assert 'class="dot-after bad"' in made and re.findall(r'<circle cx="([\d.]+)"', made) == ["54.0", "146.0"]
    assert made.count("<circle") == 2 and strip(Figure(0.5, 9, 0.4, 0.6), "same").count("<circle") == 1


def test_a_model_stands_in_the_plane_where_both_of_its_figures_are():
    """The plane goes from (56, 236) for 0, 0 to (276, 16) for 1, 1: 0.5 and 0.25 stand at 166 and 181."""
    across = {"base": Figure(0.5, 9, 0.0, 1.0), "alone": Figure(0.1, 9, 0.0, 1.0)}
    made = plane(across, {"base": Figure(0.25, 9, 0.0, 1.0)})
    assert re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', made) == [("166.0", "181.0")]
    assert ">base<" in made and "alone" not in made
