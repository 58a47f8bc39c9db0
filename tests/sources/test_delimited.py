"""Delimited files: which character divides them, and quotes that do not enclose."""

from pathlib import Path

import pytest

from stages.common.errors import HeadstartError
from stages.sources import Columns, rows

COLUMNS = Columns("text", "label")


def read(path: Path, content: str, columns: Columns = COLUMNS) -> list[tuple[str, str | None, str]]:
    """Text, label and line of each row of a file with this content."""
    path.write_bytes(content.encode())
    return [(str(row.content), row.label, row.origin.rpartition(":")[2]) for row in rows(path, columns, "text")]


def refused(path: Path, content: str, columns: Columns = COLUMNS) -> str:
    """The error for a file with this content."""
    with pytest.raises(HeadstartError) as error:
        read(path, content, columns)
    return str(error.value).removeprefix(str(path))


@pytest.mark.parametrize("suffix", ["csv", "tsv", "tab", "psv", "txt"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_header_tells_the_delimiter(tmp_path: Path, delimiter: str, suffix: str) -> None:
    content = f'id;|text,label\n1;|"a {delimiter} b",x\n'.replace(",", delimiter).replace(";|", delimiter)
    assert read(tmp_path / f"rows.{suffix}", content) == [(f"a {delimiter} b", "x", "2")]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system(tmp_path: Path, line_end: str) -> None:
    content = line_end.join(["text;label", "a, b;x", '"c', ' d";y', "", "e;z"])
    expected = [("a, b", "x", "2"), (f"c{line_end} d", "y", "3"), ("e", "z", "6")]
    assert read(tmp_path / "rows.csv", content) == expected


@pytest.mark.parametrize("first", ["sep=;\r\n", '"sep=;"\n'])
def test_the_line_that_excel_reads_the_delimiter_from_is_no_header(tmp_path: Path, first: str) -> None:
    assert read(tmp_path / "rows.csv", f"{first}text;label\na;x\n") == [("a", "x", "3")]


def test_a_header_may_follow_blank_lines_and_have_spaces(tmp_path: Path) -> None:
    assert read(tmp_path / "rows.csv", "\n\n text , label\na,x\n") == [("a", "x", "4")]
    assert read(tmp_path / "rows.csv", 'text, "label"\n"a, b", "x"\n c, y\n')[0] == ("a, b", "x", "2")


def test_a_line_of_spaces_is_no_row_but_in_a_column_alone(tmp_path: Path) -> None:
    assert read(tmp_path / "rows.csv", "text,label\na,x\n  \nb,y\n\t\n") == [("a", "x", "2"), ("b", "y", "4")]
    assert [row[2] for row in read(tmp_path / "rows.csv", "text\na\n  \nb\n", Columns("text"))] == ["2", "3", "4"]


def test_a_column_of_texts_alone_is_a_table_too(tmp_path: Path) -> None:
    assert read(tmp_path / "rows.csv", 'text\na b\n"c, d"\n', Columns("text")) == [
        ("a b", None, "2"),
        ("c, d", None, "3"),
    ]


def test_a_wrong_column_is_named_with_those_at_the_likeliest_delimiter(tmp_path: Path) -> None:
    assert refused(tmp_path / "rows.csv", "txt;label\na;x\n") == (
        " has no column text; it has txt, label; did you mean txt?"
    )


def test_a_header_that_two_delimiters_fit_is_refused(tmp_path: Path) -> None:
    words = " may be divided at commas, bars, since its first line has text either way; rename the other columns"
    assert refused(tmp_path / "rows.csv", "a|b,text,c|text|d\n1,2,3|4|5\n", Columns("text")) == words


ROWS = [f"row {n}\t{'neg' if n % 2 else 'pos'}\n" for n in range(30)]
STRAY = {
    "at the start of one field and the end of another": {4: '"stray start\tneg\n', 14: 'stray end"\tpos\n'},
    "at the start of a field": {4: '"stray start\tneg\n'},
    "around the first word": {4: '"Great" movie\tpos\n'},
    "in the last row": {29: '"stray\tpos\n'},
    "in a label": {4: 'a\t"neg\n', 9: 'b"\tpos\n'},
    "around a field and its neighbour": {4: '"a\tneg"\n'},
    "in many rows": {n: f'"stray {n}\tpos\n' for n in range(3, 29)},
}


@pytest.mark.parametrize("case", STRAY)
def test_a_file_of_tabs_that_does_not_quote_keeps_all_rows(tmp_path: Path, case: str) -> None:
    lines = [STRAY[case].get(number, line) for number, line in enumerate(ROWS)]
    texts = [tuple(line.rstrip("\n").split("\t")) for line in lines]
    expected = [(text, label, str(number)) for number, (text, label) in enumerate(texts, start=2)]
    assert read(tmp_path / "rows.tsv", "text\tlabel\n" + "".join(lines)) == expected


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            {4: '"stray start,neg\n', 14: 'stray end",pos\n'},
            " opens a quote in line 6 that closes in line 16, and each",
        ),
        ({4: '"stray start,neg\n'}, " opens a quote in line 6 that is never closed; close it, or write a quote"),
        ({4: '"two\n', 5: 'lines",neg\n', 6: '"stray,pos\n'}, " opens a quote in line 8 that is never closed"),
        ({4: '"two\n', 5: 'lines","neg\n'}, " opens a quote in line 7 that is never closed"),
        ({4: '"Great" movie,pos\n'}, " is not valid CSV in line 6: a quote opens a field there and closes before"),
        ({4: '"stray,neg\n', 8: '"a, b",pos\n'}, " is not valid CSV in line 6: a quote opens a field"),
        ({4: '"stray,neg\n', 5: 'end" of it,neg\n'}, " is not valid CSV in line 6: a quote opens a field"),
    ],
)
def test_a_file_of_commas_is_refused_where_the_quote_opens(tmp_path: Path, lines: dict[int, str], words: str) -> None:
    content = "".join(lines.get(number, line.replace("\t", ",")) for number, line in enumerate(ROWS))
    assert refused(tmp_path / "rows.csv", f"text,label\n{content}").startswith(words)


def test_a_file_of_tabs_with_doubled_quotes_does_quote(tmp_path: Path) -> None:
    lines = ['"say ""hi"" to me"\tpos\n', *ROWS, '"stray start\tneg\n', *ROWS, 'stray end"\tpos\n']
    words = refused(tmp_path / "rows.tsv", "text\tlabel\n" + "".join(lines))
    assert words.startswith(
        " opens a quote in line 33 that closes in line 64, and each line up to there looks like a row"
    )


@pytest.mark.parametrize("header", ["text\tlabel", '"text"\t"label"'])
def test_a_file_of_tabs_whose_fields_are_enclosed_does_quote(tmp_path: Path, header: str) -> None:
    lines = [f'"row {n}"\t"{"ab"[n % 2]}"\n' for n in range(30)]
    escaped = '"say \\"hi\\" to me"\t"a"\n'
    words = refused(tmp_path / "rows.tsv", f"{header}\n{''.join(lines)}{escaped}")
    assert words.startswith(
        " is not valid CSV in line 32: a quote opens a field there and closes before the field ends"
    )


def test_the_end_of_a_quote_is_named_however_far_it_is(tmp_path: Path) -> None:
    lines = [f"row {n},{'ab'[n % 2]}\n" for n in range(3000)]
    content = "".join(["text,label\n", *lines[:9], '"x,a\n', *lines[9:], 'y",b\n'])
    assert refused(tmp_path / "rows.csv", content).startswith(" opens a quote in line 11 that closes in line 3003, and")


def test_rows_that_a_quote_joins_are_noticed_without_a_label_too(tmp_path: Path) -> None:
    content = 'id,text,label\n1,a,x\n2,"b,y\n3,c,x\n4,d",y\n'
    spaced = content.replace(",", ", ")
    assert "closes in line 5, and each" in refused(tmp_path / "rows.csv", spaced, Columns("text"))
    assert refused(tmp_path / "rows.csv", content, Columns("text")).startswith(
        " opens a quote in line 3 that closes in line 5"
    )


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_a_quote_may_join_all_rows_of_a_class(tmp_path: Path, delimiter: str) -> None:
    labels = ["a", "a", "b", "a", "a", "b", "a", "c", "a"]
    lines = [f"row {n}{delimiter}{label}" for n, label in enumerate(labels)]
    lines[1], lines[7] = f'"{lines[1]}', f'row 7"{delimiter}c'
    content = "\n".join([f"text{delimiter}label", *lines, ""])
    if delimiter == ",":
        assert refused(tmp_path / "rows.csv", content).startswith(" opens a quote in line 3 that closes in line 9, and")
    else:
        rows_read = read(tmp_path / "rows.tsv", content)
        assert [label for _, label, _ in rows_read] == labels and rows_read[1][0] == '"row 1'


@pytest.mark.parametrize("text", ["Hello\nyes,no", "Hello\n7,a b", "a\n,b", "a\n, b\nc"])
def test_a_text_whose_lines_have_as_many_commas_as_a_row_stays_whole(tmp_path: Path, text: str) -> None:
    content = f'id,text\n1,one\n2,"{text}"\n3,c d\n'
    columns = Columns("text")
    if text.startswith("Hello\n7"):
        assert "opens a quote in line 3" in refused(tmp_path / "rows.csv", content, columns)
    else:
        assert read(tmp_path / "rows.csv", content, columns)[1][0] == text


def test_texts_of_several_lines_stay_whole(tmp_path: Path) -> None:
    text = "Dear team,\nwe ordered, and nothing came,\nso far\n\n\tYours,\nA. B."
    content = f'text,label\nshort,bill\n"{text}",bill\n"Hello,\nplease help",other\n"x ""y"", z\n",bill\n'
    assert [row[:2] for row in read(tmp_path / "rows.csv", content)] == [
        ("short", "bill"),
        (text, "bill"),
        ("Hello,\nplease help", "other"),
        ('x "y", z\n', "bill"),
    ]
    assert read(tmp_path / "rows.csv", content, Columns("text"))[1][0] == text
    assert read(tmp_path / "rows.csv", 'text\n"a\nb"\nc\n', Columns("text"))[0][0] == "a\nb"
    assert read(tmp_path / "rows.tsv", 'text\n"a\nb"\nc\n', Columns("text"))[0][0] == "a\nb"
    tabs = f'text\tlabel\n"{text}"\tbill\n'
    assert read(tmp_path / "rows.tsv", tabs) == [(text, "bill", "2")]
