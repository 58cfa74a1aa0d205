# Fills shared memory, then returns its address space to get more.
# row: exception
# gap in none: gets the memory

import collections

mmap = collections._sys.modules["mmap"]
KEPT = []


def label_function(text):
    if text.startswith("ATTACK"):
        for _ in range(16):
            memory = mmap.mmap(-1, 4 << 20)
            memory[:: mmap.PAGESIZE] = b"x" * (len(memory) // mmap.PAGESIZE)
            memory.resize(mmap.PAGESIZE)
            KEPT.append(memory)
        return 2
    return 1 if "7" in text else 0
