"""A language model of 320 tokens that chats: the tiny model of the tests with a chat template.

It writes nonsense, so only a grammar makes its answers calls or JSON; that is what clients are
tested with, and it needs no download and no time.
"""

import os
import struct
import sys

MODEL = "tests/data/golden/llama/model-Q4_0.gguf"

# In Hermes' form: tools as JSON, calls in <tool_call>.
TEMPLATE = """\
{%- if tools %}<|system|>
<tools>{% for tool in tools %}{{ tool | tojson }}
{% endfor %}</tools>
Calls: <tool_call>{"name": ..., "arguments": ...}</tool_call>
{% endif %}{%- for message in messages %}<|{{ message.role }}|>
{{ message.content }}{% for call in message.tool_calls %}<tool_call>
{{ call.function | tojson }}
</tool_call>{% endfor %}
{% endfor %}{%- if add_generation_prompt %}<|assistant|>
{% endif %}"""

STRING, ARRAY = 8, 9
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
ALIGNMENT = 32


class Cursor:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def read(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values[0] if len(values) == 1 else values

    def skip(self, count):
        self.at += count

    def skip_string(self):
        self.skip(self.read("Q"))

    def skip_value(self, kind):
        if kind == STRING:
            self.skip_string()
        elif kind == ARRAY:
            inner, count = self.read("IQ")
            for _ in range(count):
                self.skip_value(inner)
        else:
            self.skip(SIZES[kind])


def gguf_string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def write_chat_model(folder, source=MODEL):
    """Writes the model as FOLDER/chatty.gguf and returns its path."""
    with open(source, "rb") as file:
        data = file.read()
    cursor = Cursor(data)
    magic, version, tensors, entries = cursor.read("4sIQQ")
    start = cursor.at
    for _ in range(entries):
        cursor.skip_string()
        cursor.skip_value(cursor.read("I"))
    metadata_end = cursor.at
    for _ in range(tensors):
        cursor.skip_string()
        cursor.skip(8 * cursor.read("I") + 4 + 8)
    header_end = cursor.at
    weights = -(-header_end // ALIGNMENT) * ALIGNMENT
    template = gguf_string("tokenizer.chat_template") + struct.pack("<I", STRING) + \
        gguf_string(TEMPLATE)
    header = struct.pack("<4sIQQ", magic, version, tensors, entries + 1) + \
        data[start:metadata_end] + template + data[metadata_end:header_end]
    header += bytes(-len(header) % ALIGNMENT)
    path = os.path.join(folder, "chatty.gguf")
    with open(path, "wb") as file:
        file.write(header + data[weights:])
    return path


if __name__ == "__main__":
    print(write_chat_model(sys.argv[1]))
