"""Delimited text in the wild: no row is lost to a quote, a title or a delimiter, or the error names the line."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from polyfuse.data.tables import TableError, read_table


def read(tmp_path, text, name="t.csv"):
    (tmp_path / name).write_text(text, encoding="utf8", newline="")
    table = read_table(tmp_path / name)
    return table.frame.to_dict("list"), table.notes


def reviews(delimiter="\t", **odd):
    """40 rows of a text with odd ones among them, by row number."""
    rows = [(str(n), odd.get(f"row{n}", f"review number {n}"), ("good", "bad")[n % 2]) for n in range(40)]
    return "\n".join(delimiter.join(row) for row in [("id", "text", "label"), *rows]) + "\n", [row[1] for row in rows]


@pytest.mark.parametrize(
    "odd",
    [
        {"row5": '"opens and never closes'},
        {"row5": '"opens', "row9": 'closes much later"'},
        {"row5": '"opens', "row9": 'and 5" wide'},
        {"row5": 'a 5" screen', "row6": '"Great," he said', "row7": 'she said "no"'},
        {"row5": '"', "row39": '"'},
        {"row5": '"one" and "two', "row6": '""'},
    ],
)
@pytest.mark.parametrize("delimiter", "\t;|")
def test_a_quote_that_would_swallow_rows_is_a_character(tmp_path, odd, delimiter):
    text, expected = reviews(delimiter, **odd)
    found, notes = read(tmp_path, text, "t.tsv")
    whole = [None if cell == '""' else cell for cell in expected]  # quotes around nothing are an empty cell
    assert [cell if isinstance(cell, str) else None for cell in found["text"]] == whole
    assert found["id"] == list(range(40))
    assert any("quotes in" in note and ("line 7" in note or "line 8" in note) for note in notes)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    quoted=st.dictionaries(st.integers(0, 39), st.text('ab "', min_size=1, max_size=8), max_size=12),
    delimiter=st.sampled_from(",;\t|"),
)
def test_quotes_strewn_over_a_file_lose_no_row(tmp_path, quoted, delimiter):
    text, _ = reviews(delimiter, **{f"row{n}": f"x {cell}" if n % 3 else cell for n, cell in quoted.items()})
    found, _ = read(tmp_path, text)
    assert found["id"] == list(range(40))
    assert found["label"] == ["good", "bad"] * 20


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cells=st.lists(st.text('ab,;\t"\n \r', min_size=1, max_size=9).filter(str.strip), min_size=6, max_size=12),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n"]),
)
@example(cells=[";"] * 5 + [";\t\t\n\t"], delimiter="\t", quoting=csv.QUOTE_MINIMAL, end="\n")
@example(cells=[";"] * 5 + [";;\n;\r"], delimiter=";", quoting=csv.QUOTE_MINIMAL, end="\n")
@example(cells=[";"] * 4 + ['"', ",,\n,"], delimiter=",", quoting=csv.QUOTE_MINIMAL, end="\n")
def test_what_a_csv_writer_quotes_comes_back(tmp_path, cells, delimiter, quoting, end):
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerow(["id", "text", "number", "label"])
    cells = [*["plain"] * 3, *cells]  # with no plain row at all, nobody can tell rows from cells that look like rows
    writer.writerows([n, cell, n / 7, "yes" if n % 2 else "no"] for n, cell in enumerate(cells))
    found, _ = read(tmp_path, file.getvalue())
    assert found["text"] == cells
    assert found["id"] == list(range(len(cells)))


def test_quotes_around_cells_in_other_ways_of_writing(tmp_path):
    text = 'id, text, n\n1, "hello, you", 3\n2, "bye", 4\n'
    assert read(tmp_path, text)[0]["text"] == ["hello, you", "bye"]
    text = 'id,text,n\n1,"he said \\"hi, you\\" twice",3\n2,"two\nlines \\"here\\"",4\n'
    assert read(tmp_path, text)[0]["text"] == ['he said "hi, you" twice', 'two\nlines "here"']


def test_a_cell_of_several_lines_stays_one(tmp_path):
    rows = [[n, f"Dear {n},\nhello, moon\nbye", n % 2] for n in range(30)]
    file = io.StringIO(newline="")
    csv.writer(file).writerows([["id", "text", "label"], *rows])
    assert read(tmp_path, file.getvalue())[0]["text"] == [row[1] for row in rows]
    long = [[n, "one, two, three, four, five\n" * 9, n % 2] for n in range(8)]
    file = io.StringIO(newline="")
    csv.writer(file).writerows([["id", "text", "label"], *long])
    assert read(tmp_path, file.getvalue())[0]["text"] == [row[1] for row in long]
    assert read(tmp_path, 'text\n"one\ntwo"\nthree\n')[0]["text"] == ["one\ntwo", "three"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_first_line_that_names_the_delimiter(tmp_path, end, quote):
    text = end.join([f"{quote}sep=;{quote}", "a;b,c", "1;x,y", "2;z", ""])
    assert read(tmp_path, text)[0] == {"a": [1, 2], "b,c": ["x,y", "z"]}
    with pytest.raises(TableError, match="line 4 has 3 cells"):
        read(tmp_path, "sep=;\na;b\n1;2\n1;2;3\n")


@pytest.mark.parametrize("tail", [",", ",,,"])
def test_delimiters_at_the_end_of_rows_are_no_cells(tmp_path, tail):
    for header in ("a,b", f"a,b{tail}"):
        found, notes = read(tmp_path, f"{header}\n1,x{tail}\n2,y{tail}\n")
        assert found == {"a": [1, 2], "b": ["x", "y"]}
        assert len(notes) == 1


@pytest.mark.parametrize(
    "title",
    ["Sales report 2024", "Sales report 2024,,", "Report, made by A\n", "# exported\n# by a tool", "Report\n\nNorth\n"],
)
def test_lines_above_the_header_are_left_out_with_a_note(tmp_path, title):
    found, notes = read(tmp_path, f"{title}\nname,price,city\na,1,x\nb,2,y\n")
    assert found == {"name": ["a", "b"], "price": [1, 2], "city": ["x", "y"]}
    assert any("above the header" in note for note in notes)


@pytest.mark.parametrize(
    "text",
    [
        "text\nhello, world\nbye, moon\n",
        "text\nhello,world\nbye,moon\n",
        "a review\nGreat, loved it\nBad, sent it back\n",
        "text\n" + "one, two, three\n" * 4,
    ],
)
def test_one_column_of_sentences_is_no_table_below_a_title(tmp_path, text):
    found, _ = read(tmp_path, text)
    assert list(found.values()) == [text.splitlines()[1:]]


def test_a_header_without_a_name_for_row_numbers_as_r_writes_it(tmp_path):
    found, notes = read(tmp_path, '"a" "b"\n'.replace(" ", ",") + "".join(f'"{n}",{n * 7},"x"\n' for n in (3, 1, 2)))
    assert found == {"a": [21, 7, 14], "b": ["x"] * 3}
    assert notes
    with pytest.raises(TableError, match="line 2 has 3 cells, the header 2"):
        read(tmp_path, "text,n\nhello, you,3\nbye, me,4\n")
