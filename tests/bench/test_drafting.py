"""The benchmark of decoding, with as little work as it can be given."""

import json

from cai_lite.bench.drafting import main


def test_the_command_prints_a_table_and_writes_the_figures(tmp_path, capsys):
    main(["--sizes", "1", "2", "--prompt", "4", "--reply", "2", "--repeats", "1", "--json", str(tmp_path / "x.json")])
    assert "generate: tokens/s" in capsys.readouterr().out
    found = json.loads((tmp_path / "x.json").read_text())
    assert set(found["batches"]) == {"1", "2"}
    for row in found["batches"].values():
        assert {name: row[name]["tokens_per_second"] > 0 for name in row} == {"cai_lite": True, "generate": True}
