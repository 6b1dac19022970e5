"""A bound on what a pickle can cost, found by walking through its opcodes before any of them is carried out.

A tuple that holds itself twice, 40 levels deep, takes 200 bytes and years to hash. So every object has a weight, which
for a tuple is that of all it holds, counted each time it is held. The sum over what is taken from the stack bounds the
time that hashing takes, and how deep it goes.
"""

from __future__ import annotations

import pickletools

MOST_BYTES = 64 << 20
MOST_OPCODES = 300_000  # a model of 815 tensors has 20,000
MOST_WEIGHT = 20_000_000
MOST_NUMBERS = 10_000  # of those that can be chosen to have one hash, and whose search takes the square of their count
NUMBERS = ("INT", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
HELD = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET")  # are hashed with everything in them
SAME = ("DUP", "MEMOIZE")
PUTS, GETS = ("PUT", "BINPUT", "LONG_BINPUT"), ("GET", "BINGET", "LONG_BINGET")

Stack = list[int | None]  # weights, None for a mark


def check_budget(data: bytes) -> None:
    """Raises ValueError if unpickling could take more time or memory than a checkpoint needs, or cannot work."""
    if len(data) > MOST_BYTES:
        raise ValueError(f"expected a pickle of at most {MOST_BYTES} bytes, got {len(data)}")
    stack: Stack = []
    memo: dict[int, int] = {}
    opcodes = weight = numbers = 0
    for opcode, argument, _ in pickletools.genops(data):
        taken = _take(stack, opcode)
        opcodes, weight, numbers = opcodes + 1, weight + taken, numbers + (opcode.name in NUMBERS)
        if opcodes > MOST_OPCODES or weight > MOST_WEIGHT or numbers > MOST_NUMBERS:
            raise ValueError("expected the work of reading a checkpoint, got more")
        if opcode.name in GETS:
            taken = memo[int(argument or 0)]
        stack += _given(opcode, taken)
        if opcode.name in PUTS or opcode.name == "MEMOIZE":
            place = len(memo) if argument is None else int(argument)
            if place > len(data):  # the unpickler would allocate a table of that length
                raise ValueError(f"memo index {place} in {len(data)} bytes")
            memo[place] = stack[-1] or 0


def _take(stack: Stack, opcode: pickletools.OpcodeInfo) -> int:
    """Take what the opcode takes from the stack; the sum of the weights."""
    singles, taken = len(opcode.stack_before), 0
    if pickletools.markobject in opcode.stack_before:
        singles = opcode.stack_before.index(pickletools.markobject)
        while (weight := stack.pop()) is not None:
            taken += weight
    return taken + sum(stack.pop() or 0 for _ in range(singles))


def _given(opcode: pickletools.OpcodeInfo, taken: int) -> Stack:
    """What the opcode puts on the stack; `taken` is the weight of what it took, or of what it looks up."""
    if opcode.name == "MARK":
        return [None]
    each = taken + 1 if opcode.name in HELD else taken if opcode.name in (*SAME, *GETS) else 1
    return [each] * len(opcode.stack_after)
