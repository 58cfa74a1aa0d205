# Loops forever on every row.
# status: quarantined
# outcomes: timeout 3, not_run 197
# says: 3 rows ran out of time

def label_function(text):
    while True:
        pass
