"""What `load_runs` promises: runs and notes, or one clear sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import isoflop as iso
from isoflop.errors import UserError


def csv(tmp_path: Path, text: str | bytes, name: str = "runs.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def noted(runs: iso.Runs, *pieces: str) -> bool:
    """Whether one note holds all of `pieces`."""
    return any(all(piece in note for piece in pieces) for note in runs.notes)


GOOD = "run,params,tokens,flops,loss\na,1e6,2e7,1.2e14,4\nb,2e6,4e7,4.8e14,3.5\nc,4e6,8e7,1.92e15,3.1\n"


def test_a_clean_table_is_read_as_it_stands_without_a_note(tmp_path: Path) -> None:
    runs = iso.load_runs(csv(tmp_path, GOOD))
    assert runs["N"].tolist() == [1e6, 2e6, 4e6]
    assert runs["L"].tolist() == [4.0, 3.5, 3.1]
    assert runs["run"].tolist() == ["a", "b", "c"]
    assert runs.notes == ()


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        GOOD.replace(",", "|"),
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\r"),
        "\n\n" + GOOD,
        GOOD.encode("utf-16"),
        '"run","params","tokens","flops","loss"\n"a","1e6","2e7","1.2e14","4"\nb,2e6,4e7,4.8e14,3.5\n"c",4e6,8e7,1.92e15,3.1',
    ],
    ids=["semicolons", "tabs", "bars", "bom", "crlf", "cr", "blank lines", "utf-16", "quotes"],
)
def test_every_dialect_of_a_table_gives_the_same_runs(tmp_path: Path, text: str | bytes) -> None:
    runs = iso.load_runs(csv(tmp_path, text))
    assert runs["params"].tolist() == [1e6, 2e6, 4e6]
    assert runs["loss"].tolist() == [4.0, 3.5, 3.1]
    assert runs["run"].tolist() == ["a", "b", "c"]


def test_every_form_of_file_gives_the_same_runs(tmp_path: Path) -> None:
    frame = pd.read_csv(csv(tmp_path, GOOD))
    frame.to_parquet(tmp_path / "runs.parquet")
    frame.to_json(tmp_path / "runs.jsonl", orient="records", lines=True)
    frame.to_json(tmp_path / "runs.json", orient="records")
    frame.to_csv(tmp_path / "runs.csv.gz", index=False)
    frame.to_json(tmp_path / "runs.jsonl.gz", orient="records", lines=True)
    names = ("runs.csv", "runs.parquet", "runs.jsonl", "runs.json", "runs.csv.gz", "runs.jsonl.gz")
    read = [iso.load_runs(tmp_path / name) for name in names]
    read += [iso.load_runs(frame), iso.load_runs(frame.to_dict("list"))]
    for runs in read:
        for name in ("params", "tokens", "flops", "loss"):
            assert runs[name].dtype == np.float64
            assert runs[name].tolist() == frame[name].tolist()
        assert runs["run"].tolist() == ["a", "b", "c"]


def test_json_lines_that_disagree_on_a_type_are_read_all_the_same(tmp_path: Path) -> None:
    lines = [{"N": "7B", "D": 2e9, "L": 3}, {"N": 8e9, "D": 2e9, "L": "2.5"}, {"N": 9, "D": 2e9, "L": float("nan")}]
    runs = iso.load_runs(csv(tmp_path, "\n".join(map(json.dumps, lines)), "runs.jsonl"))
    assert runs["N"].tolist() == [7e9, 8e9]
    assert runs["L"].tolist() == [3.0, 2.5]
    assert noted(runs, "Dropped 1 of 3 rows", "loss missing or NaN in 1 (data row 3)")


def test_columns_in_memory_may_be_lists_or_arrays_but_not_of_different_length() -> None:
    columns = {"N": np.array([1, 2]), "D": ["2B", 3e9], "L": (np.float32(4), 3), "set": np.array(["a", "b"])}
    runs = iso.load_runs(columns)
    assert runs["N"].tolist() == [1.0, 2.0]
    assert runs["D"].tolist() == [2e9, 3e9]
    assert runs["set"].tolist() == ["a", "b"]
    for wrong in ({"N": [1, 2], "L": [3]}, 7, {"L": 3}, {}):
        with pytest.raises(UserError, match=r"the table|no table"):
            iso.load_runs(wrong)


def test_a_mapping_names_columns_and_factors(tmp_path: Path) -> None:
    path = csv(tmp_path, "size,data (B),final,lr\n1e6,0.02,4,1\n2e6,0.04,3,2\n")
    for mapping in (
        "N=size,D=data (B)*1e9,L=final,x=lr",
        {"N": "size", "tokens": "data (B)*1e9", "L": "final", "x": "lr"},
    ):
        runs = iso.load_runs(path, mapping=mapping)
        assert runs["N"].tolist() == [1e6, 2e6]
        assert runs["D"].tolist() == pytest.approx([2e7, 4e7])
        assert runs["x"].tolist() == [1.0, 2.0]
        assert noted(runs, "tokens is column 'data (B)' times 1e+09")


@pytest.mark.parametrize(
    ("header", "word"),
    [
        ("n_params,D,L", "params"),
        ("Num Params,D,L", "params"),
        ("model_size,D,L", "params"),
        ("N,train_tokens,L", "tokens"),
        ("N,tokens_seen,L", "tokens"),
        ("N,D,val_loss", "loss"),
        ("N,D,Validation Loss", "loss"),
    ],
)
def test_names_in_common_use_are_guessed_and_the_guess_is_said(tmp_path: Path, header: str, word: str) -> None:
    runs = iso.load_runs(csv(tmp_path, f"{header}\n1e6,2e7,4\n2e6,4e7,3\n"))
    assert runs[word].tolist() == {"params": [1e6, 2e6], "tokens": [2e7, 4e7], "loss": [4.0, 3.0]}[word]
    assert noted(runs, f"{word} is read from column", "guessed")


def test_of_two_losses_the_validation_loss_is_taken_and_the_other_named(tmp_path: Path) -> None:
    runs = iso.load_runs(csv(tmp_path, "N,D,train_loss,val_loss\n1e6,2e7,1,4\n2e6,4e7,2,3\n"))
    assert runs["loss"].tolist() == [4.0, 3.0]
    assert noted(runs, "'val_loss', not from train_loss")


def test_a_column_of_text_is_never_guessed_to_be_a_quantity(tmp_path: Path) -> None:
    runs = iso.load_runs(csv(tmp_path, "param_count,D,L\nkaplan,2e7,4\nstandard,4e7,3\n"))
    assert runs["param_count"].tolist() == ["kaplan", "standard"]
    assert "N" not in runs


def test_text_that_looks_like_a_number_stays_text_where_the_file_says_so(tmp_path: Path) -> None:
    lines = [{"N": "1e6", "D": 2e7, "L": 4, "hash": "12e4", "lr": "3e-4"}, {"N": "2e6", "D": 3e7, "L": 3, "hash": "5"}]
    runs = iso.load_runs(csv(tmp_path, "\n".join(map(json.dumps, lines)), "runs.jsonl"))
    assert runs["hash"].tolist() == ["12e4", "5"]
    assert runs["N"].tolist() == [1e6, 2e6]
    assert runs["lr"][0] == 3e-4


def test_a_named_column_takes_the_place_of_one_that_has_the_word(tmp_path: Path) -> None:
    runs = iso.load_runs(csv(tmp_path, "params,body,tokens,loss\n9,1e6,2e7,4\n9,2e6,4e7,3\n"), mapping="N=body")
    assert runs["params"].tolist() == [1e6, 2e6]
    assert noted(runs, "'params' of the file is left out", "'body'")


def test_numbers_as_people_write_them_are_repaired_and_the_repair_is_said(tmp_path: Path) -> None:
    runs = iso.load_runs(csv(tmp_path, 'N,D,L\n7B,1.4T,2\n" 70M ","1,400,000,000",3\n 1e9 ,3 b,4\n'))
    assert runs["N"].tolist() == [7e9, 70e6, 1e9]
    assert runs["D"].tolist() == [1.4e12, 1.4e9, 3e9]
    assert noted(runs, "'N'", "2 of 3", "'7B' as 7000000000")
    assert noted(runs, "'D'", "3 of 3", "'1.4T' as 1400000000000")


def test_a_semicolon_table_has_decimal_commas_but_counts_in_groups_of_three(tmp_path: Path) -> None:
    runs = iso.load_runs(csv(tmp_path, "N;D;L\n7,1B;1,400;2,310\n1e6;2,500;3,125\n"))
    assert runs["L"].tolist() == [2.31, 3.125]
    assert runs["N"].tolist() == [7.1e9, 1e6]
    assert runs["D"].tolist() == [1400.0, 2500.0]


@pytest.mark.parametrize("bad", ["seven", "2.3.4", "7Q", "1e", "~7B", "$7", "12%"])
def test_what_is_no_number_is_refused_by_row_and_column(tmp_path: Path, bad: str) -> None:
    with pytest.raises(UserError, match=r"data row 2, column 'size': .* is no number") as refused:
        iso.load_runs(csv(tmp_path, f"size,D,L\n1e6,2e7,4\n{bad},4e7,3\n"), mapping="N=size")
    assert repr(bad) in str(refused.value)


def test_rows_without_a_usable_number_are_dropped_with_count_and_reason(tmp_path: Path) -> None:
    rows = ["1e6,2e7,4", "0,2e7,4", "1e6,-5,4", "1e6,inf,4", "1e6,2e7,", "1e6,2e7,nan", "1e308,2e7,3", "2e6,4e7,3"]
    runs = iso.load_runs(csv(tmp_path, "N,D,L\n" + "\n".join(rows)))
    assert len(runs) == 2
    (note,) = [note for note in runs.notes if note.startswith("Dropped")]
    assert note.startswith("Dropped 6 of 8 rows")
    for reason in (
        "params zero in 1 (data row 2)",
        "tokens negative in 1 (data row 3)",
        "tokens infinite in 1 (data row 4)",
        "loss missing or NaN in 2 (data rows 5, 6)",
        "params above 1e+18 in 1 (data row 7)",
    ):
        assert reason in note


def test_no_row_left_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"None of the 2 rows .* loss zero in 2"):
        iso.load_runs(csv(tmp_path, "N,D,L\n1e6,2e7,0\n1e6,2e7,0\n"))


def test_flops_are_filled_in_where_missing_and_only_there(tmp_path: Path) -> None:
    runs = iso.load_runs(csv(tmp_path, "N,D,C,L\n1e6,2e7,,4\n2e6,4e7,5e14,3\n"))
    assert runs["C"].tolist() == [6 * 1e6 * 2e7, 5e14]
    assert noted(runs, "flops was missing in 1 of 2 rows", "6 * params * tokens")


def test_columns_without_a_value_are_left_out_and_do_not_drop_rows(tmp_path: Path) -> None:
    runs = iso.load_runs(csv(tmp_path, "N,D,L,set\n,2e7,4,\n,4e7,3,\n"))
    assert len(runs) == 2
    assert "N" not in runs
    assert noted(runs, "without any value: N, set")


def test_an_empty_column_does_not_hide_the_one_that_holds_the_quantity(tmp_path: Path) -> None:
    runs = iso.load_runs(csv(tmp_path, "params,N,D,L\n,1e6,2e7,4\n,2e6,4e7,3\n"))
    assert runs["params"].tolist() == [1e6, 2e6]


def test_a_column_that_has_a_symbol_for_its_name_but_is_not_meant_keeps_a_name_of_its_own(tmp_path: Path) -> None:
    runs = iso.load_runs(csv(tmp_path, "params,N,D,L\n1e6,8,2e7,4\n2e6,16,4e7,3\n"))
    assert runs["N"].tolist() == [1e6, 2e6]
    assert runs["N (file)"].tolist() == [8.0, 16.0]


def test_where_keeps_rows_by_text_by_number_and_by_several_values(tmp_path: Path) -> None:
    path = csv(tmp_path, "N,D,L,set,seed\n1e6,2e7,4,a,0\n2e6,4e7,3,b,1\n3e6,5e7,2,c,1\n")
    assert iso.load_runs(path, where="set=b")["L"].tolist() == [3.0]
    assert iso.load_runs(path, where="set=b,seed=1")["L"].tolist() == [3.0]
    assert iso.load_runs(path, where={"seed": 1})["L"].tolist() == [3.0, 2.0]
    kept = iso.load_runs(path, where={"set": ["a", "c"]})
    assert kept["L"].tolist() == [4.0, 2.0]
    assert noted(kept, "Kept the 2 of 3 rows")


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("set=z", "no row has set = 'z'; set is a, b"),
        ("colour=red", "no column 'colour'"),
        ("N=many", "'many' is none"),
        ("set", "is no pair"),
        ("set=a,N=2e6", "satisfies all"),
    ],
)
def test_a_where_that_can_not_be_met_says_what_there_is(tmp_path: Path, where: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        iso.load_runs(csv(tmp_path, "N,D,L,set\n1e6,2e7,4,a\n2e6,4e7,3,b\n"), where=where)


@pytest.mark.parametrize(
    ("text", "mapping", "said"),
    [
        ("", None, "is empty"),
        ("N,D,L\n", None, "has no rows"),
        ("1,2,3\n4,5,6\n", None, "has no header"),
        ("N,D,height\n1,2,3\n", None, "no column for the loss .*it has params, tokens, height"),
        ("N,D,L\n1,2,3\n", "N=parms", "no column 'parms'"),
        ("params_m,D,L\n1,2,3\n", "N=params_n", "did you mean 'params_m'"),
        ("N,D,L\n1,2,3\n", "N=D*much", "'much' is no positive number"),
        ("N,D,L\n1,2,3\n", "N:D", "is no pair"),
        ("N,D,L\n1,2,3\n", "N=D,N=L", "stands twice"),
        ("N,D,L\n1,2,3,4\n", None, "has no rows"),
        (b"PK\x03\x04 \xff", None, "save the sheet as CSV"),
        (b"N,D,L\n\x00\x01\x02", None, "bytes that are no text"),
        ('{"N": 1}\n{"N": ', None, "line 2: no JSON"),
        ("[1, 2]", None, "record 1 is no JSON object"),
        ("PAR1 and then nothing", None, "can't be read as a table"),
    ],
)
def test_a_table_that_can_not_be_used_is_one_clear_sentence(
    tmp_path: Path, text: str | bytes, mapping: str | None, said: str
) -> None:
    with pytest.raises(UserError, match=said) as refused:
        iso.load_runs(csv(tmp_path, text), mapping=mapping)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("path", ["nowhere.csv", "no\x00where", "a" * 5000])
def test_a_path_that_is_not_there_says_so(path: str) -> None:
    with pytest.raises(UserError, match="does not exist"):
        iso.load_runs(path)


def test_rows_with_other_fields_than_the_header_are_left_out_and_counted(tmp_path: Path) -> None:
    runs = iso.load_runs(csv(tmp_path, "N,D,L\n1e6,2e7,4\n1e6,2e7\n1,2,3,4\n2e6,4e7,3\n"))
    assert len(runs) == 2
    assert noted(runs, "Left out 2 rows", "3 fields", "'1e6,2e7'")


def test_a_cell_as_long_as_a_book_is_read_or_refused_but_holds_nothing_up(tmp_path: Path) -> None:
    runs = iso.load_runs(csv(tmp_path, f"N,D,L,note\n1e6,2e7,4,{'a' * 500_000}\n2e6,4e7,3,b\n"))
    assert len(runs["note"][0]) == 500_000
    with pytest.raises(UserError, match="'aaaaaaaaaa"):
        iso.load_runs(csv(tmp_path, f"N,D,L\n1e6,2e7,{'a' * 500_000}\n2e6,4e7,3\n"))


def test_text_that_is_no_utf_8_is_read_and_said(tmp_path: Path) -> None:
    runs = iso.load_runs(csv(tmp_path, "N,D,L,note\n1e6,2e7,4,é\n2e6,4e7,3,e\n".encode("cp1252")))
    assert runs["note"].tolist() == ["é", "e"]
    assert noted(runs, "Windows-1252")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["7,1.4e11,2.5", "1,2e10,3"], "params is 4 on median, so probably not in ones"),
        (["7e9,140,2.5", "1e9,20,3"], "tokens is 80 on median"),
        (["7e9,140,2.5", "1e9,20e9,3"], "tokens seems to be written in two units"),
        (["7e9,140e9,2500", "1e9,20e9,3000"], "too high for nats per token"),
    ],
)
def test_values_in_another_unit_are_suspected(tmp_path: Path, rows: list[str], said: str) -> None:
    assert noted(iso.load_runs(csv(tmp_path, "N,D,L\n" + "\n".join(rows))), said)


@pytest.mark.parametrize(("name", "said"), [("val_bpb", "bits by its name"), ("ppl", "perplexity by its name")])
def test_a_loss_in_another_unit_by_its_name_is_suspected(tmp_path: Path, name: str, said: str) -> None:
    path = csv(tmp_path, f"N,D,{name}\n1e6,2e7,4\n2e6,4e7,3\n")
    assert noted(iso.load_runs(path, mapping=f"L={name}"), said)
    assert not noted(iso.load_runs(path, mapping=f"L={name}*0.693147"), said)


def test_flops_that_disagree_with_six_n_d_are_suspected(tmp_path: Path) -> None:
    runs = iso.load_runs(csv(tmp_path, "N,D,C,L\n1e6,2e7,1.2e5,4\n2e6,4e7,4.8e5,3\n"))
    assert noted(runs, "flops is 1e-09 times 6 * params * tokens")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("N,D,L\n1e6,2e7,4\n", "only one run"),
        ("N,D,L\n1e6,2e7,4\n1e6,3e7,3\n", "params is the same in all 2 runs"),
        ("N,D,L\n1e6,2e7,4\n2e6,3e7,4\n", "loss is the same in all runs"),
        ("size,L\n1e6,4\n2e6,3\n", "None of params, tokens and flops is there (but loss, size)"),
    ],
)
def test_a_table_too_poor_for_a_law_is_said_on_reading(tmp_path: Path, text: str, said: str) -> None:
    assert noted(iso.load_runs(csv(tmp_path, text)), said)


def test_a_study_gives_its_finished_rungs_and_names_what_stays_out(study: Callable[..., Path]) -> None:
    folder = study(
        {"params": 100},
        {"params": 200, "status": "diverged", "loss": None, "loss_se": None, "note": "loss was NaN at step 7"},
        {"params": 300, "role": "target"},
        {"params": 400, "role": "tune"},
    )
    runs = iso.load_runs(folder)
    assert runs["run"].tolist() == ["run0"]
    assert runs["schedule.warmup_tokens"].tolist() == [50_000.0]
    assert runs["lr"].tolist() == [0.01]
    assert noted(runs, "run1", "diverged", "loss was NaN at step 7")
    assert noted(runs, "1 target runs (run2)", "rungs only")
    assert noted(runs, "1 tune runs (run3)")


def test_records_of_a_tiny_study_raise_no_suspicion_about_units(study: Callable[..., Path]) -> None:
    tiny = {"tokens": 900, "params": 200, "flops": 6.0 * 900 * 200, "shape": {"layers": 2, "kv_heads": None}}
    assert iso.load_runs(study({**tiny}, {**tiny, "tokens": 1800, "flops": 6.0 * 1800 * 200, "loss": 2.0})).notes == (
        "params is the same in all 2 runs (200): no law can tell how loss depends on it.",
    )


def test_another_role_is_read_when_it_is_asked_for(study: Callable[..., Path]) -> None:
    folder = study({}, {"role": "target", "loss": 2.5})
    assert iso.load_runs(folder, where="role=target")["loss"].tolist() == [2.5]
    assert len(iso.load_runs(folder, where={"role": ["rung", "target"]})) == 2


def test_a_study_without_a_finished_rung_says_what_there_is(study: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no finished rung: .*run0.*diverged"):
        iso.load_runs(study({"status": "diverged", "loss": None}))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="holds neither run records"):
        iso.load_runs(empty)


@pytest.mark.data
def test_the_public_tables_are_read_whole(data_dir: Path) -> None:
    rows = {
        "epoch_chinchilla": 245, "porian_isoflop": 1745, "gadre_overtraining": 104, "datablations": 308,
        "steplaw": 2619, "mpl_schedules": 6265, "alabdulmohsin_benchmark": 12363,
    }  # fmt: skip
    for name, count in rows.items():
        runs = iso.load_runs(data_dir / "runs" / f"{name}.csv")
        assert len(runs) == count
        assert all(note.startswith("Left out columns without any value") for note in runs.notes)


def test_reading_a_table_does_not_load_pandas(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("run,params,tokens,loss,note,empty\na,1e6,2e7,3.1,x,\nb,2M,n/a,3.0,,\nc,4e6,8e7,,y,\n")
    code = f"import sys, isoflop as iso; iso.load_runs({str(path)!r}); assert 'pandas' not in sys.modules"
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )


def test_rows_that_all_have_another_number_of_fields_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("run,N,D,L\na,1,2,3,4\nb,1\n")
    with pytest.raises(UserError, match=r"no rows that can be used.*2 rows that don't have the header's 4 fields"):
        iso.load_runs(tmp_path / "a.csv")
