from alchemist_exp.core.errors import unknown_name


def test_a_similar_name_is_suggested_and_all_are_listed() -> None:
    assert unknown_name("dataset", "yotube", ["youtube", "sms"]) == (
        "dataset 'yotube' is unknown; did you mean 'youtube'? Known: sms, youtube."
    )
    assert unknown_name("dataset", "zzz", []) == "dataset 'zzz' is unknown. Known: none."
