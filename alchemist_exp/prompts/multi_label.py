"""The templates of requests for programs that return several classes (dataset.multi_label=true)."""

from typing import Final

MULTI_LABEL_TEMPLATES: Final = {
    "class_instruction": "If the [subject] [relation] [class], the list that the function returns contains [index].",
    "set_instruction": "Several of the classes may hold for one [subject], and then the list contains the index of "
    "each of them. If none of the classes holds, the list is empty.",
    "abstain_instruction": "If the classes of the [subject] cannot be determined, the function returns -1 instead of a "
    "list.",
    "signature": "def label_function([parameter]: [annotation]) -> list[int]:",
}
"""The default of each template of `prompt.multi_label`; conf/prompt/paper.yaml explains them."""

MULTI_LABEL_REQUIRED: Final = {"class_instruction": ("class", "index")}
"""The placeholders of a template that may not be left out."""
