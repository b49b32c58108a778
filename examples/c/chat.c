/* Chats with a model: cc -std=c11 chat.c $(pkg-config --cflags --libs pelton) -o chat
 *
 * usage: chat MODEL. Each line of standard input is a message; the answer is printed as it comes.
 * Control-C ends an answer, a second one the program. */
#include <pelton.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A text that grows; a program this small gives up when memory does. */
typedef struct text {
  char* bytes;
  size_t size;
} text;

static void append(text* to, const char* bytes, size_t size) {
  char* grown = realloc(to->bytes, to->size + size + 1);
  if (grown == NULL) exit(1);
  memcpy(grown + to->size, bytes, size);
  to->bytes = grown;
  to->size += size;
  grown[to->size] = '\0';
}

static void append_text(text* to, const char* bytes) { append(to, bytes, strlen(bytes)); }

/* Appends a message as JSON: {"role":"user","content":"..."}. */
static void append_message(text* to, const char* role, const char* content, size_t size) {
  append_text(to, "{\"role\":\"");
  append_text(to, role);
  append_text(to, "\",\"content\":\"");
  for (size_t i = 0; i < size; ++i) {
    const unsigned char byte = (unsigned char)content[i];
    char escaped[8];
    if (byte == '"' || byte == '\\') {
      snprintf(escaped, sizeof escaped, "\\%c", byte);
    } else if (byte < 0x20) {
      snprintf(escaped, sizeof escaped, "\\u%04x", byte);
    } else {
      escaped[0] = (char)byte;
      escaped[1] = '\0';
    }
    append_text(to, escaped);
  }
  append_text(to, "\"}");
}

static volatile sig_atomic_t interrupted = 0;

static void on_interrupt(int number) {
  interrupted = 1;
  signal(number, SIG_DFL);
}

/* Prints what is new, and keeps it. Any value but 0 ends the answer. */
static int32_t on_event(void* user, pelton_request* request, const pelton_event* event) {
  (void)request;
  append((text*)user, event->text, event->text_bytes);
  fwrite(event->text, 1, event->text_bytes, stdout);
  fflush(stdout);
  return interrupted;
}

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: chat MODEL\n");
    return 2;
  }
  pelton_model* model = NULL;
  if (pelton_open(argv[1], NULL, &model) != PELTON_OK) {
    fprintf(stderr, "chat: %s\n", pelton_last_error());
    return 1;
  }
  text messages = {NULL, 0};
  append_text(&messages, "[");
  char line[4096];
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (messages.size > 1) append_text(&messages, ",");
    append_message(&messages, "user", line, strcspn(line, "\n"));
    const size_t asked = messages.size;
    append_text(&messages, "]");

    pelton_generate_options options;
    pelton_generate_options_init(&options);
    options.messages_json = messages.bytes;
    text answer = {NULL, 0};
    append_text(&answer, "");
    interrupted = 0;
    signal(SIGINT, on_interrupt);
    const pelton_code status = pelton_generate(model, &options, on_event, &answer);
    signal(SIGINT, SIG_DFL);
    printf("\n");
    if (status != PELTON_OK && status != PELTON_CANCELLED) {
      fprintf(stderr, "chat: %s\n", pelton_last_error());
      free(answer.bytes);
      break;
    }

    messages.size = asked; /* the list goes on */
    append_text(&messages, ",");
    append_message(&messages, "assistant", answer.bytes, answer.size);
    free(answer.bytes);
  }
  free(messages.bytes);
  pelton_close(model);
  return 0;
}
