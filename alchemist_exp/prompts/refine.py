"""The templates of requests for further programs (refine=rounds), with their defaults."""

from typing import Final

REFINE_TEMPLATES: Final = {
    "request": "[request]\n\nThere are already [n_programs] programs of this kind, and their votes are combined into "
    "one class for each [subject]. They were tried on [n_rows] rows; [coverage] of the rows have at least one vote."
    "[scores]\n\n[weakness]\n\nWrite one more program for this. It joins the others, and it is kept only if the "
    "combined result gets better.",
    "scores": "[balance] The combined result has an F1 score of [class_scores].",
    "uncovered": "The weakness to work on: [share] of the rows have no vote, because every program returns -1 there."
    "[open_balance][words]\nThe new program has to decide nearly all of these rows: collect many weaker signs of each "
    "class, in all their spellings and forms, give them weights, and return the class with the largest sum. Return -1 "
    "only if there is no sign at all.",
    "balance": " Of the rows whose class is known, [shares].",
    "open_balance": " Of such rows whose class is known, [shares].",
    "class": 'The weakness to work on: the class "[class]".[recall][words]\nThe new program has to tell '
    'this class from the others better than the present ones do. Collect signs of "[class]", also weak and unusual '
    "ones, and signs against it, in all their spellings and forms, and weigh them against each other. Return [index] "
    'where the signs of "[class]" prevail, another class only where that one is obvious, and -1 otherwise.',
    "recall": " Of the rows known to be of this class, [found] get it, [missed] get another class[confused], and "
    "[open] have no vote.[precision]",
    "precision": " Of the rows that get this class, [right] are of it.",
    "confused": " (most often [other])",
    "contested": "The weakness to work on: on [share] of the rows the programs contradict each other with votes for "
    'both "[first]" and "[second]".[words]\nThe new program has to decide between these two classes in such rows: '
    "weigh the signs of both against each other, with negation, contrast, the strength of a sign and its place in the "
    "[subject] in mind. Return -1 only where neither prevails.",
    "words": "\nWords that are more frequent in these rows than in the other rows: [words].",
    "class_words": '\nWords of rows without a clear vote that go with "[class]" in the rows with a clear vote: '
    "[words].",
    "rows": "\nExamples of such rows:\n[rows]",
    "row": '- "[text]"[votes][known]',
    "votes": " (votes: [votes])",
    "known": ", known to be [class]",
}
"""The default of each template of `prompt.refine`; conf/prompt/paper.yaml explains them."""

REFINE_REQUIRED: Final = {
    "request": ("request", "weakness"),
    "scores": ("class_scores",),
    "uncovered": ("words",),
    "balance": ("shares",),
    "open_balance": ("shares",),
    "class": ("class", "index", "words"),
    "contested": ("first", "second", "words"),
    "words": ("words",),
    "class_words": ("class", "words"),
    "rows": ("rows",),
    "row": ("text",),
}
"""The placeholders of a template that may not be left out."""
