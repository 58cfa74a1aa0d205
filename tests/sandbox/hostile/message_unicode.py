# Raises with lone surrogates, right-to-left marks and joined emoji.
# row: exception

def label_function(text):
    if text.startswith("ATTACK"):
        raise ValueError("\ud800\u202e\u2066\U000e0041" + "\U0001f469\u200d" * 500 + "\0")
    return 1 if "7" in text else 0
