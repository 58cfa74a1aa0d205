"""The templates of requests about images: concepts, spurious differences and programs that read scores."""

from typing import Final

IMAGE_TEMPLATES: Final = {
    "image_description": "The image is a numpy array of shape (height, width, 3), RGB, uint8.",
    "concepts": "What are the visual primitive concepts to classify [quoted_classes]? Please organize the primitive "
    "concepts by name and use comparisons for the classes. Parse the results into JSON format.",
    "concepts_repair": "[request]\n\nThis answer cannot be used:\n\n[response]\n\n[reason]\n\nAnswer with one JSON "
    'object of the form {"name of a concept": {"name of a class": "description"}}, a description for each of the '
    "classes [quoted_classes], and nothing else.",
    "spurious": "What are the biased or spurious differences between images of [quoted_classes], which often occur "
    "with a class but do not define it? Please organize the differences by name and describe in a few words for each "
    "class what its images show. Parse the results into JSON format.",
    "score_task": "I have measured similarity scores for the following descriptions as float numbers. [scale] The "
    "descriptions are: [descriptions]. Generate a labeling function with input scores to classify [plural_classes]. "
    "If it cannot be determined, the function should return -1, but use this cautiously.",
}
"""The default of each template; conf/prompt/paper.yaml explains them."""

SCORE_SCALES: Final = {
    "raw": "If a score is close to 1, it is highly related to the description. If a score is close to 0, it is "
    "less related to the description.",
    "softmax": "The scores of descriptions of the same concept sum to 1. If a score is close to 1, its "
    "description fits the image better than the other descriptions of this concept.",
    "rank": "Each score is the share of the images that fit the description less well: 0.5 is an average "
    "image, close to 1 is highly related to the description, close to 0 is less related to it.",
}
"""The default of each template of `prompt.score_scales`."""
