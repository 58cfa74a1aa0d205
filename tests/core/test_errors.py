from alchemist_exp.core.errors import unknown


def test_a_near_name_is_suggested_and_all_are_listed() -> None:
    assert unknown("dataset", "yotube", ["youtube", "sms"]) == (
        "dataset 'yotube' is unknown; did you mean 'youtube'? Known: sms, youtube."
    )
    assert unknown("dataset", "zzz", []) == "dataset 'zzz' is unknown. Known: none."
