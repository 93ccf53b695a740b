"""Tables as the page shows them."""

from energybench.report.tables.laid_out import lay_out
from energybench.report.tables.matrix_rows import Table


def test_rows_stand_below_their_model_and_notes_below_their_row() -> None:
    rows = (
        ("alexnet", "stego", "+4.00 pp ✗", "drop beyond tolerance"),
        ("alexnet", "prune", "+0.10 pp", ""),
        ("vgg16", "stego", "+0.40 pp [+0.10, +0.70]", ""),
    )
    found = lay_out(Table(("model", "method", "drop", "note"), rows, frozenset({2})))
    assert [head.text for head in found.heads] == ["method", "drop"]
    assert [(name, len(lines)) for name, lines in found.groups] == [("alexnet", 2), ("vgg16", 1)]
    (first, second), (third,) = (lines for _, lines in found.groups)
    assert (first.note, second.note) == ("drop beyond tolerance", "")
    assert (first.cells[1].text, first.cells[1].beyond) == ("+4.00 pp", True)
    assert not second.cells[1].beyond
    assert (third.cells[1].text, third.cells[1].aside) == ("+0.40 pp", "[+0.10, +0.70]")
    assert found.marked


def test_a_column_without_any_value_is_left_out() -> None:
    rows = (("a", "-", "1"), ("b", "-", "-"))
    found = lay_out(Table(("method", "CPU time", "energy"), rows, frozenset({1, 2})))
    assert [head.text for head in found.heads] == ["method", "energy"]
    assert not found.marked


def test_words_are_told_from_numbers_and_kept_whole() -> None:
    table = Table(("the paper", "found"), (("a claim (of two)", "x [1, 2]"),), frozenset())
    found = lay_out(table)
    assert found.words
    assert [cell.text for cell in found.groups[0][1][0].cells] == ["a claim (of two)", "x [1, 2]"]
    assert lay_out(Table(("model", "energy"), (), frozenset({1}))).groups == ()
