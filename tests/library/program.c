/* Uses every function of pelton.h as a C program does, and prints what library_test.py compares.
 * usage: program CHAT_MODEL ENCODER. Exits 1 with a line on standard error if anything differs from
 * what it expects. */
#define _POSIX_C_SOURCE 200809L
#include <pelton.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPECT(condition)                                                                       \
  do {                                                                                          \
    if (!(condition)) {                                                                         \
      fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, pelton_last_error()); \
      exit(1);                                                                                  \
    }                                                                                           \
  } while (0)

static const char* const kMessages = "[{\"role\":\"user\",\"content\":\"hello \\\"there\\\"\"}]";

static void print_ids(const char* what, const int32_t* ids, size_t count) {
  printf("%s", what);
  for (size_t i = 0; i < count; ++i) printf("%c%d", i == 0 ? ' ' : ',', (int)ids[i]);
  printf("\n");
}

typedef struct output {
  int32_t ids[64];
  size_t num_ids;
  size_t finishes;
  uint64_t prompt_tokens;
} output;

static int32_t keep(void* user, pelton_request* request, const pelton_event* event) {
  output* kept = user;
  EXPECT(request != NULL);
  EXPECT(event->struct_size >= sizeof *event);
  if (event->kind == PELTON_EVENT_TOKEN && kept->num_ids < 64) {
    kept->ids[kept->num_ids++] = event->id;
  }
  if (event->kind == PELTON_EVENT_FINISH) {
    ++kept->finishes;
    kept->prompt_tokens = event->prompt_tokens;
  }
  return 0;
}

static pelton_generate_options drawn(uint64_t seed) {
  pelton_generate_options options;
  pelton_generate_options_init(&options);
  options.messages_json = kMessages;
  options.temperature = 1.0f;
  options.has_seed = 1;
  options.seed = seed;
  options.max_tokens = 16;
  options.ignore_eos = 1;
  return options;
}

static void test_text(pelton_model* model) {
  char* prompt = NULL;
  size_t prompt_bytes = 0;
  EXPECT(pelton_render_chat(model, kMessages, NULL, NULL, 1, &prompt, &prompt_bytes) == PELTON_OK);
  EXPECT(prompt[prompt_bytes] == '\0');
  int32_t* ids = NULL;
  size_t count = 0;
  EXPECT(pelton_tokenize(model, prompt, prompt_bytes, PELTON_PARSE_SPECIAL, &ids, &count) ==
         PELTON_OK);
  print_ids("prompt", ids, count);
  char* text = NULL;
  EXPECT(pelton_detokenize(model, ids, count, PELTON_KEEP_SPECIAL, &text, NULL) == PELTON_OK);
  EXPECT(strcmp(text, prompt) == 0);
  pelton_free(text);
  pelton_free(ids);
  pelton_free(prompt);
}

static void test_generation(pelton_model* model) {
  pelton_generate_options options = drawn(5);
  output whole = {{0}, 0, 0, 0};
  EXPECT(pelton_generate(model, &options, keep, &whole) == PELTON_OK);
  EXPECT(whole.finishes == 1);
  print_ids("ids", whole.ids, whole.num_ids);

  /* The same, by polling a descriptor. */
  pelton_request* request = NULL;
  EXPECT(pelton_submit(model, &options, &request) == PELTON_OK);
  int32_t fd = -1;
  EXPECT(pelton_request_fd(request, &fd) == PELTON_OK);
  output polled = {{0}, 0, 0, 0};
  while (polled.finishes == 0) {
    struct pollfd waited = {fd, POLLIN, 0};
    EXPECT(poll(&waited, 1, -1) == 1);
    const pelton_event* event = NULL;
    EXPECT(pelton_next(request, 0, &event) == PELTON_OK);
    keep(&polled, request, event);
  }
  EXPECT(polled.num_ids == whole.num_ids);
  EXPECT(memcmp(polled.ids, whole.ids, sizeof whole.ids) == 0);
  EXPECT(pelton_cancel(request) == PELTON_OK);
  EXPECT(pelton_request_free(request) == PELTON_OK);

  options.constraint = PELTON_JSON_SCHEMA;
  options.constraint_text = "{\"enum\":[\"north\",\"south\"]}";
  options.ignore_eos = 0;
  output constrained = {{0}, 0, 0, 0};
  EXPECT(pelton_generate(model, &options, keep, &constrained) == PELTON_OK);
  char* text = NULL;
  EXPECT(pelton_detokenize(model, constrained.ids, constrained.num_ids, 0, &text, NULL) ==
         PELTON_OK);
  EXPECT(strcmp(text, "\"north\"") == 0 || strcmp(text, "\"south\"") == 0);
  pelton_free(text);

  options.constraint_text = "{\"enum\":";
  EXPECT(pelton_generate(model, &options, keep, &constrained) == PELTON_INVALID_ARGUMENT);
  options.messages_json = "[{\"role\":\"stranger\",\"content\":\"\"}]";
  options.constraint = PELTON_ANY_TEXT;
  EXPECT(pelton_generate(model, &options, keep, &constrained) == PELTON_INVALID_ARGUMENT);
  EXPECT(strstr(pelton_last_error(), "messages[0].role") != NULL);
  EXPECT(strcmp(pelton_code_name(PELTON_INVALID_ARGUMENT), "invalid argument") == 0);
}

static void test_embedding(const char* path) {
  pelton_model* encoder = NULL;
  EXPECT(pelton_open(path, NULL, &encoder) == PELTON_OK);
  pelton_model_info info;
  pelton_model_info_init(&info);
  EXPECT(pelton_get_info(encoder, &info) == PELTON_OK);
  EXPECT(info.is_encoder == 1);
  const char* const texts[] = {"the cat sleeps", "dogs eating"};
  float* vectors = NULL;
  size_t width = 0;
  uint64_t tokens = 0;
  EXPECT(pelton_embed(encoder, texts, NULL, 2, NULL, &vectors, &width, &tokens) == PELTON_OK);
  EXPECT(width == info.embedding_width);
  for (size_t i = 0; i < 2; ++i) {
    printf("vector");
    for (size_t d = 0; d < width; ++d) printf("%c%.9g", d == 0 ? ' ' : ',', vectors[i * width + d]);
    printf("\n");
  }
  pelton_free(vectors);

  pelton_embed_options options;
  pelton_embed_options_init(&options);
  options.dimensions = 8;
  const size_t sizes[] = {3};
  EXPECT(pelton_embed(encoder, texts, sizes, 1, &options, &vectors, &width, NULL) == PELTON_OK);
  EXPECT(width == 8);
  pelton_free(vectors);
  options.dimensions = 4096;
  EXPECT(pelton_embed(encoder, texts, NULL, 1, &options, &vectors, &width, NULL) ==
         PELTON_INVALID_ARGUMENT);
  const char* const none[] = {NULL};
  EXPECT(pelton_embed(encoder, none, NULL, 1, NULL, &vectors, &width, NULL) ==
         PELTON_INVALID_ARGUMENT);
  EXPECT(pelton_embed(encoder, none, NULL, 0, NULL, &vectors, &width, NULL) ==
         PELTON_INVALID_ARGUMENT);
  pelton_generate_options generate;
  pelton_generate_options_init(&generate);
  generate.prompt = "a";
  EXPECT(pelton_generate(encoder, &generate, NULL, NULL) == PELTON_INVALID_ARGUMENT);
  EXPECT(strstr(pelton_last_error(), "embeddings") != NULL);
  EXPECT(pelton_close(encoder) == PELTON_OK);
}

int main(int argc, char** argv) {
  EXPECT(argc == 3);
  EXPECT(pelton_abi_version() == PELTON_ABI_VERSION);
  struct sigaction before[32], after;
  for (int number = 1; number < 32; ++number) sigaction(number, NULL, &before[number]);

  pelton_model_options options;
  pelton_model_options_init(&options);
  options.numerics = "exact";
  options.threads = 1;
  pelton_model* model = NULL;
  EXPECT(pelton_open(argv[1], &options, &model) == PELTON_OK);
  test_text(model);
  test_generation(model);
  EXPECT(pelton_close(model) == PELTON_OK);
  test_embedding(argv[2]);

  for (int number = 1; number < 32; ++number) {
    sigaction(number, NULL, &after);
    EXPECT(after.sa_handler == before[number].sa_handler);
  }
  printf("version %s\n", pelton_version());
  return 0;
}
