"""Similar texts are found without comparing every pair, with a few bytes for each."""

import tracemalloc

from cai_lite.inputs.near import NearIndex, features_of, jaccard


def test_the_jaccard_index_is_the_share_of_common_features():
    one, two = features_of([1, 2, 3, 3]), features_of([2, 3, 4, 2**64 - 1])
    assert jaccard(one, two) == 2 / 5
    assert jaccard(features_of([]), features_of([])) == 1.0


def test_similar_items_are_found_and_a_bucket_keeps_no_more_than_its_limit():
    index, limited = NearIndex[int](), NearIndex[int](bucket=2)
    for item in range(5):
        index.add(item, features_of(range(30)))
        limited.add(item, features_of(range(30)))
    index.add(9, features_of(range(100, 130)))
    assert index.near(features_of(range(30))) == {0, 1, 2, 3, 4}
    assert index.near(features_of([*range(29), 77])) >= {0}
    assert limited.near(features_of(range(30))) == {0, 1}
    assert index.near(features_of(range(500, 530))) == set()


def test_an_item_costs_a_few_kilobytes():
    index = NearIndex[int]()
    tracemalloc.start()
    for item in range(500):
        index.add(item, features_of(range(item * 40, item * 40 + 30)))
    assert tracemalloc.get_traced_memory()[0] / 500 < 3000
    tracemalloc.stop()
