from cai_lite.reporting.html import Html, join, table, tag


def test_texts_and_attributes_are_escaped_and_markup_of_ours_is_not():
    made = tag("p", "a < b", tag("b", '"x"'), title='say "hi"', class_="c")
    assert made == '<p title="say &quot;hi&quot;" class="c">a &lt; b<b>&quot;x&quot;</b></p>'


def test_nothing_is_written_for_none_and_lists_are_joined():
    assert join([None, ["a", 1], Html("<br>")]) == "a1<br>"


def test_a_table_has_a_caption_and_headings():
    made = table("Caption", ["", "n"], [["row", 3]])
    assert "<caption>Caption</caption>" in made
    assert '<th scope="row">row</th><td>3</td>' in made
