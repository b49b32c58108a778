#include "pelton.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <cmath>
#include <fstream>
#include <functional>
#include <latch>
#include <limits>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "serving/request/field_reader.h"

namespace pelton {
namespace {

const std::string kFolder = "tests/data/golden/llama/";

// The model that the tests share; opening it again for each would take most of their time.
pelton_model* SharedModel() {
  static pelton_model* const model = [] {
    pelton_model_options options;
    pelton_model_options_init(&options);
    options.numerics = "exact";
    options.threads = 2;
    options.max_sequences = 8;
    pelton_model* opened = nullptr;
    EXPECT_EQ(pelton_open((kFolder + "model-Q4_0.gguf").c_str(), &options, &opened), PELTON_OK)
        << pelton_last_error();
    return opened;
  }();
  return model;
}

pelton_model* OpenOwn() {
  pelton_model_options options;
  pelton_model_options_init(&options);
  options.threads = 1;
  options.max_sequences = 2;
  options.context_tokens = 512;
  pelton_model* opened = nullptr;
  EXPECT_EQ(pelton_open((kFolder + "model-Q4_0.gguf").c_str(), &options, &opened), PELTON_OK)
      << pelton_last_error();
  return opened;
}

pelton_generate_options Greedy(const char* prompt, int64_t max_tokens) {
  pelton_generate_options options;
  pelton_generate_options_init(&options);
  options.prompt = prompt;
  options.temperature = 0;
  options.max_tokens = max_tokens;
  options.ignore_eos = 1;
  return options;
}

// What the events of one request came to.
struct Outcome {
  std::vector<int32_t> ids;
  std::string text;
  size_t finishes = 0;
  int32_t reason = 0;
  pelton_code status = PELTON_OK;
  uint64_t output_tokens = 0;

  void Add(const pelton_event& event) {
    text.append(event.text, event.text_bytes);
    if (event.kind == PELTON_EVENT_TOKEN) ids.push_back(event.id);
    if (event.kind != PELTON_EVENT_FINISH) return;
    ++finishes;
    reason = event.finish_reason;
    status = event.status;
    output_tokens = event.output_tokens;
  }
};

int32_t Record(void* user, pelton_request*, const pelton_event* event) {
  static_cast<Outcome*>(user)->Add(*event);
  return 0;
}

Outcome Generate(pelton_model* model, const pelton_generate_options& options) {
  Outcome outcome;
  EXPECT_EQ(pelton_generate(model, &options, Record, &outcome), PELTON_OK) << pelton_last_error();
  EXPECT_EQ(outcome.finishes, 1u);
  return outcome;
}

// Takes every event that a request still has.
Outcome Drain(pelton_request* request) {
  Outcome outcome;
  const pelton_event* event = nullptr;
  while (pelton_next(request, -1, &event) == PELTON_OK) outcome.Add(*event);
  return outcome;
}

// Expects that a call fails, and that the message holds a word.
void ExpectFailure(pelton_code found, pelton_code expected, const std::string& word) {
  EXPECT_EQ(found, expected) << word << ": " << pelton_last_error();
  EXPECT_NE(std::string(pelton_last_error()).find(word), std::string::npos)
      << "expected \"" << word << "\" in: " << pelton_last_error();
}

TEST(Pelton, SaysWhatItIs) {
  EXPECT_EQ(pelton_abi_version(), uint32_t{PELTON_ABI_VERSION});
  EXPECT_NE(std::string(pelton_version()), "");
  EXPECT_STREQ(pelton_code_name(PELTON_OK), "ok");
  EXPECT_STREQ(pelton_code_name(PELTON_INTERNAL), "internal");
  EXPECT_STREQ(pelton_code_name(PELTON_INTERNAL + 1), "unknown");
  EXPECT_STREQ(pelton_code_name(-1), "unknown");
}

// Fields are added at the end of their struct, and none moves.
TEST(Pelton, KeepsTheLayoutOfItsVersions) {
  EXPECT_EQ(offsetof(pelton_model_options, draft_model), 64u) << "the size in version 1";
  EXPECT_EQ(offsetof(pelton_model_options, weights), 72u) << "the size in version 2";
  EXPECT_EQ(sizeof(pelton_model_options), 96u);
  EXPECT_EQ(sizeof(pelton_model_info), 88u);
  EXPECT_EQ(sizeof(pelton_generate_options), 240u);
  EXPECT_EQ(sizeof(pelton_embed_options), 24u);
  EXPECT_EQ(sizeof(pelton_event), 168u);
  EXPECT_EQ(offsetof(pelton_generate_options, temperature), 80u);
  EXPECT_EQ(offsetof(pelton_generate_options, seed), 144u);
  EXPECT_EQ(offsetof(pelton_generate_options, service_class), 232u);
  EXPECT_EQ(offsetof(pelton_event, finish_reason), 96u);
}

TEST(Pelton, OpensWhatIsThereAndSaysWhatIsNot) {
  pelton_model* opened = nullptr;
  ExpectFailure(pelton_open("no/such/model", nullptr, &opened), PELTON_NOT_FOUND, "no/such/model");
  ExpectFailure(pelton_open("LICENSE", nullptr, &opened), PELTON_DATA_LOSS, "LICENSE");
  EXPECT_EQ(opened, nullptr);
  pelton_model_info info;
  pelton_model_info_init(&info);
  ASSERT_EQ(pelton_get_info(SharedModel(), &info), PELTON_OK);
  EXPECT_STREQ(info.architecture, "llama");
  EXPECT_EQ(info.vocab_size, 320u);
  EXPECT_EQ(info.layers, 2u);
  EXPECT_EQ(info.is_encoder, 0);
  EXPECT_EQ(info.has_tokenizer, 1);
  EXPECT_EQ(info.has_chat_template, 0);
  EXPECT_EQ(info.max_sequences, 8u);
  EXPECT_GT(info.weight_bytes, 0u);
}

TEST(Pelton, RefusesModelOptionsByName) {
  const auto refused = [](const char* word, const std::function<void(pelton_model_options&)>& set) {
    pelton_model_options options;
    pelton_model_options_init(&options);
    set(options);
    pelton_model* opened = nullptr;
    ExpectFailure(pelton_open((kFolder + "model-Q4_0.gguf").c_str(), &options, &opened),
                  PELTON_INVALID_ARGUMENT, word);
    EXPECT_EQ(opened, nullptr);
  };
  refused("numerics", [](auto& o) { o.numerics = "rough"; });
  refused("speculate", [](auto& o) { o.speculate = "on"; });
  refused("draft-model", [](auto& o) { o.speculate = "draft"; });
  refused("weights", [](auto& o) { o.weights = "w4"; });
  refused("kv_cache_dtype", [](auto& o) { o.kv_cache_dtype = "bf16"; });
  refused("threads", [](auto& o) { o.threads = 1u << 31; });
  refused("max_sequences", [](auto& o) { o.max_sequences = 0; });
  refused("max_queued", [](auto& o) { o.max_queued = 0; });
  refused("step_tokens", [](auto& o) { o.step_tokens = 0; });
  refused("kv_tokens", [](auto& o) { o.kv_tokens = UINT32_MAX; });
  refused("context_tokens", [](auto& o) { o.context_tokens = UINT32_MAX; });
  refused("context_tokens", [](auto& o) { o.context_tokens = 4096; });  // the model's limit is 2048
}

TEST(Pelton, NullsAreRefused) {
  pelton_model* const model = SharedModel();
  int32_t* ids = nullptr;
  size_t count = 0;
  char* text = nullptr;
  const pelton_event* event = nullptr;
  pelton_generate_options options = Greedy("a", 1);
  pelton_request* request = nullptr;
  float* vectors = nullptr;
  EXPECT_EQ(pelton_open(nullptr, nullptr, nullptr), PELTON_INVALID_ARGUMENT);
  ExpectFailure(pelton_open("a", nullptr, nullptr), PELTON_INVALID_ARGUMENT, "opened");
  ExpectFailure(pelton_get_info(model, nullptr), PELTON_INVALID_ARGUMENT, "info");
  ExpectFailure(pelton_tokenize(model, nullptr, 3, 0, &ids, &count), PELTON_INVALID_ARGUMENT,
                "text");
  ExpectFailure(pelton_tokenize(model, "a", 1, 0, nullptr, &count), PELTON_INVALID_ARGUMENT, "ids");
  ExpectFailure(pelton_tokenize(model, "a", 1, 0, &ids, nullptr), PELTON_INVALID_ARGUMENT,
                "num_ids");
  ExpectFailure(pelton_detokenize(model, nullptr, 3, 0, &text, nullptr), PELTON_INVALID_ARGUMENT,
                "ids");
  ExpectFailure(pelton_detokenize(model, nullptr, 0, 0, nullptr, nullptr), PELTON_INVALID_ARGUMENT,
                "text");
  ExpectFailure(pelton_render_chat(model, nullptr, nullptr, nullptr, 1, &text, nullptr),
                PELTON_INVALID_ARGUMENT, "messages_json");
  ExpectFailure(pelton_generate(model, nullptr, Record, nullptr), PELTON_INVALID_ARGUMENT,
                "options");
  ExpectFailure(pelton_submit(model, nullptr, &request), PELTON_INVALID_ARGUMENT, "options");
  ExpectFailure(pelton_submit(model, &options, nullptr), PELTON_INVALID_ARGUMENT, "submitted");
  ExpectFailure(pelton_embed(model, nullptr, nullptr, 1, nullptr, &vectors, &count, nullptr),
                PELTON_INVALID_ARGUMENT, "texts");
  EXPECT_EQ(pelton_next(nullptr, 0, &event), PELTON_INVALID_ARGUMENT);
  EXPECT_EQ(pelton_request_fd(nullptr, nullptr), PELTON_INVALID_ARGUMENT);
  EXPECT_EQ(pelton_cancel(nullptr), PELTON_INVALID_ARGUMENT);
  EXPECT_EQ(pelton_get_info(nullptr, nullptr), PELTON_INVALID_ARGUMENT);
  EXPECT_EQ(pelton_close(nullptr), PELTON_OK);
  EXPECT_EQ(pelton_request_free(nullptr), PELTON_OK);
  pelton_free(nullptr);
}

TEST(Pelton, HandlesOfNothingAreRefused) {
  int on_the_stack = 0;
  auto* const foreign = reinterpret_cast<pelton_model*>(&on_the_stack);
  ExpectFailure(pelton_close(foreign), PELTON_INVALID_ARGUMENT, "model");
  pelton_model* const model = OpenOwn();
  const pelton_generate_options options = Greedy("a", 4);
  pelton_request* request = nullptr;
  ASSERT_EQ(pelton_submit(model, &options, &request), PELTON_OK);
  // Of the other kind.
  EXPECT_EQ(pelton_close(reinterpret_cast<pelton_model*>(request)), PELTON_INVALID_ARGUMENT);
  EXPECT_EQ(pelton_cancel(reinterpret_cast<pelton_request*>(model)), PELTON_INVALID_ARGUMENT);
  ASSERT_EQ(pelton_close(model), PELTON_OK);
  EXPECT_EQ(pelton_close(model), PELTON_INVALID_ARGUMENT);
  EXPECT_EQ(pelton_generate(model, &options, nullptr, nullptr), PELTON_INVALID_ARGUMENT);
  ASSERT_EQ(pelton_request_free(request), PELTON_OK);
  EXPECT_EQ(pelton_request_free(request), PELTON_INVALID_ARGUMENT);
  const pelton_event* event = nullptr;
  EXPECT_EQ(pelton_next(request, 0, &event), PELTON_INVALID_ARGUMENT);
}

TEST(Pelton, StructSizesAreChecked) {
  pelton_generate_options options = Greedy("a", 1);
  for (const size_t size : {size_t{0}, size_t{8}, sizeof options - 1, size_t{5000}, SIZE_MAX}) {
    options.struct_size = size;
    ExpectFailure(pelton_generate(SharedModel(), &options, nullptr, nullptr),
                  PELTON_INVALID_ARGUMENT, "struct_size");
  }
  pelton_model_info info;
  info.struct_size = 4;
  ExpectFailure(pelton_get_info(SharedModel(), &info), PELTON_INVALID_ARGUMENT, "struct_size");
}

TEST(Pelton, ANewerProgramsStructsAreTakenUnlessTheyAskForMore) {
  struct Newer {
    pelton_generate_options known;
    int64_t further;
  } options{Greedy("a", 2), 0};
  options.known.struct_size = sizeof options;
  EXPECT_EQ(pelton_generate(SharedModel(), &options.known, nullptr, nullptr), PELTON_OK);
  options.further = 1;
  ExpectFailure(pelton_generate(SharedModel(), &options.known, nullptr, nullptr),
                PELTON_UNIMPLEMENTED, "pelton_generate_options");
  struct NewerInfo {
    pelton_model_info known;
    int64_t further;
  } info{{}, 7};
  info.known.struct_size = sizeof info;
  ASSERT_EQ(pelton_get_info(SharedModel(), &info.known), PELTON_OK);
  EXPECT_EQ(info.known.vocab_size, 320u);
  EXPECT_EQ(info.known.struct_size, sizeof info);
  EXPECT_EQ(info.further, 0);
}

TEST(Pelton, GivesTheReferencesGreedyTokens) {
  std::ifstream file(kFolder + "golden-Q4_0.json");
  std::stringstream text;
  text << file.rdbuf();
  const Json golden = ParseJson(text.str()).value();
  ASSERT_GT(golden["prompts"].size(), 1u);
  std::vector<std::vector<int32_t>> prompts, expected;
  std::vector<pelton_request*> requests;
  for (const Json& prompt : golden["prompts"]) {
    prompts.push_back(prompt["ids"].get<std::vector<int32_t>>());
    expected.push_back(prompt["greedy_ids"].get<std::vector<int32_t>>());
    pelton_generate_options options = Greedy(nullptr, static_cast<int64_t>(expected.back().size()));
    options.prompt_ids = prompts.back().data();
    options.num_prompt_ids = prompts.back().size();
    EXPECT_EQ(Generate(SharedModel(), options).ids, expected.back());
    pelton_request* request = nullptr;
    ASSERT_EQ(pelton_submit(SharedModel(), &options, &request), PELTON_OK);
    requests.push_back(request);
  }
  // The same as one batch.
  for (size_t i = 0; i < requests.size(); ++i) {
    const Outcome outcome = Drain(requests[i]);
    EXPECT_EQ(outcome.ids, expected[i]);
    EXPECT_EQ(outcome.reason, PELTON_FINISH_LENGTH);
    EXPECT_EQ(outcome.output_tokens, expected[i].size());
    EXPECT_EQ(pelton_request_free(requests[i]), PELTON_OK);
  }
}

TEST(Pelton, TheTextIsThatOfTheTokens) {
  const Outcome outcome = Generate(SharedModel(), Greedy("of the", 40));
  char* text = nullptr;
  size_t bytes = 0;
  ASSERT_EQ(
      pelton_detokenize(SharedModel(), outcome.ids.data(), outcome.ids.size(), 0, &text, &bytes),
      PELTON_OK);
  EXPECT_EQ(outcome.text, std::string(text, bytes));
  EXPECT_EQ(std::string(text).size(), bytes);
  pelton_free(text);
}

TEST(Pelton, TokensBecomeTheTextAgain) {
  const std::string given("caf\xc3\xa9 \0 of the", 14);
  int32_t* ids = nullptr;
  size_t count = 0;
  ASSERT_EQ(pelton_tokenize(SharedModel(), given.data(), given.size(), 0, &ids, &count), PELTON_OK);
  char* text = nullptr;
  size_t bytes = 0;
  ASSERT_EQ(pelton_detokenize(SharedModel(), ids, count, 0, &text, &bytes), PELTON_OK);
  EXPECT_EQ(std::string(text, bytes), given);
  pelton_free(text);
  pelton_free(ids);
  ASSERT_EQ(pelton_tokenize(SharedModel(), "", PELTON_WHOLE, 0, &ids, &count), PELTON_OK);
  EXPECT_EQ(count, 0u);
  pelton_free(ids);
  const int32_t outside[] = {-1, 320, INT32_MAX};
  ASSERT_EQ(pelton_detokenize(SharedModel(), outside, 3, 0, &text, &bytes), PELTON_OK);
  EXPECT_EQ(bytes, 0u);
  pelton_free(text);
}

TEST(Pelton, RefusesGenerateOptionsByName) {
  static const int32_t outside_ids[] = {320};
  static const pelton_logit_bias large_bias[] = {{0, 1000.0f}};
  static const char* const no_texts[] = {nullptr};
  const auto refused = [](const char* word,
                          const std::function<void(pelton_generate_options&)>& set) {
    pelton_generate_options options = Greedy("a", 2);
    set(options);
    ExpectFailure(pelton_generate(SharedModel(), &options, nullptr, nullptr),
                  PELTON_INVALID_ARGUMENT, word);
  };
  refused("prompt", [](auto& o) { o.prompt = nullptr; });
  refused("prompt", [](auto& o) { o.messages_json = "[]"; });
  refused("prompt", [](auto& o) { o.prompt = ""; });
  refused("tools_json", [](auto& o) { o.tools_json = "[]"; });
  refused("template_args_json", [](auto& o) { o.template_args_json = "{}"; });
  for (const float bad : {-1.0f, 101.0f, INFINITY}) {
    refused("temperature", [&](auto& o) { o.temperature = bad; });
  }
  refused("top_p", [](auto& o) { o.top_p = 1.5f; });
  refused("min_p", [](auto& o) { o.min_p = -0.5f; });
  refused("typical_p", [](auto& o) { o.typical_p = 0; });
  refused("top_k", [](auto& o) { o.top_k = -2; });
  refused("top_k", [](auto& o) { o.top_k = INT64_MAX; });
  refused("repetition_penalty", [](auto& o) { o.repetition_penalty = 0; });
  refused("presence_penalty", [](auto& o) { o.presence_penalty = NAN; });
  refused("frequency_penalty", [](auto& o) { o.frequency_penalty = -1e9f; });
  refused("penalty_window", [](auto& o) { o.penalty_window = -2; });
  refused("logit_bias", [](auto& o) { o.num_logit_bias = 1; });
  refused("logit_bias", [](auto& o) { o.num_logit_bias = SIZE_MAX; });
  refused("logit_bias", [](auto& o) {
    o.logit_bias = large_bias;
    o.num_logit_bias = 1;
  });
  refused("max_tokens", [](auto& o) { o.max_tokens = -2; });
  refused("max_tokens", [](auto& o) { o.max_tokens = INT64_MAX; });
  refused("stop", [](auto& o) { o.num_stop = 1; });
  refused("stop", [](auto& o) {
    o.stop = no_texts;
    o.num_stop = 1;
  });
  refused("stop_ids", [](auto& o) { o.num_stop_ids = SIZE_MAX; });
  refused("stop_ids", [](auto& o) {
    o.stop_ids = outside_ids;
    o.num_stop_ids = 1;
  });
  refused("logprobs", [](auto& o) { o.logprobs = 1000; });
  refused("prompt_logprobs", [](auto& o) { o.prompt_logprobs = -5; });
  refused("constraint", [](auto& o) { o.constraint = 99; });
  refused("constraint", [](auto& o) { o.constraint = -1; });
  refused("constraint_text", [](auto& o) { o.constraint = PELTON_REGEX; });
  refused("", [](auto& o) {
    o.constraint = PELTON_JSON_SCHEMA;
    o.constraint_text = "{\"type\":";
  });
  refused("service_class", [](auto& o) { o.service_class = "first"; });
  refused("prompt_ids", [](auto& o) {
    o.prompt = nullptr;
    o.prompt_ids = outside_ids;
    o.num_prompt_ids = SIZE_MAX / 8;
  });
  refused("320", [](auto& o) {
    o.prompt = nullptr;
    o.prompt_ids = outside_ids;
    o.num_prompt_ids = 1;
  });
  refused("template", [](auto& o) {
    o.prompt = nullptr;
    o.messages_json = R"([{"role":"user","content":"a"}])";
  });
  refused("messages_json", [](auto& o) {
    o.prompt = nullptr;
    o.messages_json = "[";
  });
}

TEST(Pelton, APromptBeyondTheContextIsRefused) {
  const std::string prompt(5000, 'x');
  const pelton_generate_options options = Greedy(prompt.c_str(), 2);
  EXPECT_NE(pelton_generate(SharedModel(), &options, nullptr, nullptr), PELTON_OK);
  EXPECT_STRNE(pelton_last_error(), "");
}

TEST(Pelton, ASeedRepeatsADraw) {
  pelton_generate_options options = Greedy("of the", 24);
  options.temperature = 1;
  options.has_seed = 1;
  options.seed = 7;
  const std::vector<int32_t> first = Generate(SharedModel(), options).ids;
  EXPECT_EQ(Generate(SharedModel(), options).ids, first);
  options.seed = 8;
  EXPECT_NE(Generate(SharedModel(), options).ids, first);
}

TEST(Pelton, StopsAtTextsAndIds) {
  const Outcome whole = Generate(SharedModel(), Greedy("of the", 40));
  pelton_generate_options options = Greedy("of the", 40);
  const int32_t stop_ids[] = {whole.ids[9]};
  options.stop_ids = stop_ids;
  options.num_stop_ids = 1;
  const Outcome stopped = Generate(SharedModel(), options);
  EXPECT_EQ(stopped.reason, PELTON_FINISH_STOP);
  EXPECT_LE(stopped.ids.size(), 10u);
  const std::string stop = whole.text.substr(whole.text.size() / 2, 4);
  const char* const stops[] = {"never", stop.c_str()};
  pelton_generate_options by_text = Greedy("of the", 40);
  by_text.stop = stops;
  by_text.num_stop = 2;
  const Outcome cut = Generate(SharedModel(), by_text);
  EXPECT_EQ(cut.reason, PELTON_FINISH_STOP);
  EXPECT_EQ(cut.text, whole.text.substr(0, whole.text.find(stop)));
}

TEST(Pelton, GivesLogProbabilities) {
  pelton_generate_options options = Greedy("of the", 5);
  options.logprobs = 3;
  options.prompt_logprobs = 0;
  struct Seen {
    size_t prompt = 0, tokens = 0;
  } seen;
  const auto look = [](void* user, pelton_request*, const pelton_event* event) -> int32_t {
    auto& counts = *static_cast<Seen*>(user);
    if (event->kind == PELTON_EVENT_PROMPT_TOKEN) {
      EXPECT_EQ(event->position, ++counts.prompt);
      EXPECT_LT(event->logprob, 0);
      EXPECT_EQ(event->num_top, 0u);
    } else if (event->kind == PELTON_EVENT_TOKEN) {
      ++counts.tokens;
      EXPECT_EQ(event->num_top, 3u);
      EXPECT_EQ(event->top[0].id, event->id);  // greedy
      EXPECT_EQ(event->top[0].logprob, event->logprob);
    }
    return 0;
  };
  ASSERT_EQ(pelton_generate(SharedModel(), &options, look, &seen), PELTON_OK);
  EXPECT_EQ(seen.prompt, 2u);
  EXPECT_EQ(seen.tokens, 5u);
}

TEST(Pelton, KeepsToAConstraint) {
  pelton_generate_options options = Greedy("of the", 40);
  options.ignore_eos = 0;
  options.constraint = PELTON_REGEX;
  options.constraint_text = "[ab]{3}c";
  const std::string text = Generate(SharedModel(), options).text;
  ASSERT_EQ(text.size(), 4u);
  EXPECT_EQ(text.find_first_not_of("ab"), 3u);
  options.constraint = PELTON_CHOICE;
  options.constraint_text = R"(["left","right"])";
  const std::string side = Generate(SharedModel(), options).text;
  EXPECT_TRUE(side == "left" || side == "right") << side;
}

TEST(Pelton, ACallbackEndsItsRequest) {
  struct Counter {
    int calls = 0;
  } counter;
  const auto third = [](void* user, pelton_request*, const pelton_event*) -> int32_t {
    return ++static_cast<Counter*>(user)->calls == 3 ? 1 : 0;
  };
  const pelton_generate_options options = Greedy("of the", 1000);
  EXPECT_EQ(pelton_generate(SharedModel(), &options, third, &counter), PELTON_CANCELLED);
  EXPECT_EQ(counter.calls, 3);
}

TEST(Pelton, ACallbackMayCallEverything) {
  struct Seen {
    pelton_model* model;
    Outcome outcome;
  } seen{OpenOwn(), {}};
  const auto meddle = [](void* user, pelton_request* request,
                         const pelton_event* event) -> int32_t {
    auto& all = *static_cast<Seen*>(user);
    all.outcome.Add(*event);
    if (event->kind != PELTON_EVENT_TOKEN || all.outcome.ids.size() != 2) return 0;
    const pelton_event* other = nullptr;
    EXPECT_EQ(pelton_next(request, 0, &other), PELTON_INVALID_ARGUMENT);
    const pelton_generate_options inner = Greedy("a", 3);
    EXPECT_EQ(Generate(all.model, inner).ids.size(), 3u);
    EXPECT_EQ(pelton_cancel(request), PELTON_OK);
    EXPECT_EQ(pelton_cancel(request), PELTON_OK);
    EXPECT_EQ(pelton_close(all.model), PELTON_OK);
    EXPECT_EQ(pelton_request_free(request), PELTON_OK);
    return 0;
  };
  const pelton_generate_options options = Greedy("of the", 400);
  EXPECT_EQ(pelton_generate(seen.model, &options, meddle, &seen), PELTON_CANCELLED);
  EXPECT_EQ(seen.outcome.finishes, 1u);
  EXPECT_EQ(seen.outcome.reason, PELTON_FINISH_CANCELLED);
  EXPECT_EQ(pelton_close(seen.model), PELTON_INVALID_ARGUMENT);
}

TEST(Pelton, AnotherThreadCancels) {
  const pelton_generate_options options = Greedy("of the", 2000);
  pelton_request* request = nullptr;
  ASSERT_EQ(pelton_submit(SharedModel(), &options, &request), PELTON_OK);
  const pelton_event* event = nullptr;
  ASSERT_EQ(pelton_next(request, -1, &event), PELTON_OK);
  std::thread other([&] { EXPECT_EQ(pelton_cancel(request), PELTON_OK); });
  const Outcome outcome = Drain(request);
  other.join();
  EXPECT_EQ(outcome.reason, PELTON_FINISH_CANCELLED);
  EXPECT_EQ(outcome.status, PELTON_CANCELLED);
  EXPECT_EQ(pelton_next(request, -1, &event), PELTON_NOT_FOUND);
  EXPECT_EQ(pelton_cancel(request), PELTON_OK);
  EXPECT_EQ(pelton_request_free(request), PELTON_OK);
}

TEST(Pelton, ADescriptorTellsOfEvents) {
  const pelton_generate_options options = Greedy("of the", 8);
  pelton_request* request = nullptr;
  ASSERT_EQ(pelton_submit(SharedModel(), &options, &request), PELTON_OK);
  int32_t fd = -1;
  ASSERT_EQ(pelton_request_fd(request, &fd), PELTON_OK);
  Outcome outcome;
  const pelton_event* event = nullptr;
  while (outcome.finishes == 0) {
    pollfd waited{.fd = fd, .events = POLLIN, .revents = 0};
    ASSERT_EQ(::poll(&waited, 1, -1), 1);
    ASSERT_EQ(pelton_next(request, 0, &event), PELTON_OK);
    outcome.Add(*event);
  }
  EXPECT_EQ(outcome.ids.size(), 8u);
  EXPECT_EQ(pelton_request_free(request), PELTON_OK);
}

TEST(Pelton, AClosedModelsRequestsEnd) {
  pelton_model* const model = OpenOwn();
  const pelton_generate_options options = Greedy("of the", 400);
  std::vector<pelton_request*> requests(5);  // two run, three wait
  for (pelton_request*& request : requests) {
    ASSERT_EQ(pelton_submit(model, &options, &request), PELTON_OK);
  }
  // Freed without having been read.
  ASSERT_EQ(pelton_request_free(requests.back()), PELTON_OK);
  requests.pop_back();
  ASSERT_EQ(pelton_close(model), PELTON_OK);
  for (pelton_request* const request : requests) {
    const Outcome outcome = Drain(request);
    EXPECT_EQ(outcome.finishes, 1u);
    EXPECT_TRUE(outcome.reason == PELTON_FINISH_CANCELLED || outcome.ids.size() == 400u);
    EXPECT_EQ(pelton_request_free(request), PELTON_OK);
  }
}

TEST(Pelton, ManyThreadsShareAModel) {
  const std::vector<int32_t> expected = Generate(SharedModel(), Greedy("of the", 12)).ids;
  std::latch together(8);
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      together.arrive_and_wait();
      for (int round = 0; round < 3; ++round) {
        const pelton_generate_options options = Greedy("of the", 12);
        if (i % 4 == 0) {
          EXPECT_EQ(Generate(SharedModel(), options).ids, expected);
        } else if (i % 4 == 1) {
          pelton_request* request = nullptr;
          ASSERT_EQ(pelton_submit(SharedModel(), &options, &request), PELTON_OK);
          EXPECT_EQ(Drain(request).ids, expected);
          EXPECT_EQ(pelton_request_free(request), PELTON_OK);
        } else if (i % 4 == 2) {
          pelton_request* request = nullptr;
          ASSERT_EQ(pelton_submit(SharedModel(), &options, &request), PELTON_OK);
          EXPECT_EQ(pelton_cancel(request), PELTON_OK);
          EXPECT_EQ(pelton_request_free(request), PELTON_OK);
        } else {
          ExpectFailure(pelton_generate(nullptr, &options, nullptr, nullptr),
                        PELTON_INVALID_ARGUMENT, "model");
          int32_t* ids = nullptr;
          size_t count = 0;
          ASSERT_EQ(pelton_tokenize(SharedModel(), "of the", PELTON_WHOLE, 0, &ids, &count),
                    PELTON_OK);
          pelton_free(ids);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Pelton, OpeningAndClosingMeetsUse) {
  std::atomic<pelton_model*> current = OpenOwn();
  std::atomic<bool> over = false;
  std::thread user([&] {
    const pelton_generate_options options = Greedy("a", 16);
    while (!over) {
      const pelton_code status = pelton_generate(current, &options, nullptr, nullptr);
      EXPECT_TRUE(status == PELTON_OK || status == PELTON_CANCELLED ||
                  status == PELTON_INVALID_ARGUMENT)
          << pelton_last_error();
    }
  });
  for (int round = 0; round < 5; ++round) {
    pelton_model* const next = OpenOwn();
    EXPECT_EQ(pelton_close(current.exchange(next)), PELTON_OK);
  }
  over = true;
  user.join();
  EXPECT_EQ(pelton_close(current), PELTON_OK);
}

TEST(Pelton, TwoThreadsTakeTurnsAtOneRequest) {
  const pelton_generate_options options = Greedy("of the", 100);
  pelton_request* request = nullptr;
  ASSERT_EQ(pelton_submit(SharedModel(), &options, &request), PELTON_OK);
  std::atomic<size_t> events = 0;
  const auto read = [&] {
    const pelton_event* event = nullptr;
    while (true) {
      const pelton_code status = pelton_next(request, -1, &event);
      if (status == PELTON_NOT_FOUND) return;
      if (status == PELTON_OK) ++events;
      if (status == PELTON_INVALID_ARGUMENT) std::this_thread::yield();
    }
  };
  std::thread other(read);
  read();
  other.join();
  EXPECT_EQ(events, 101u);
  EXPECT_EQ(pelton_request_free(request), PELTON_OK);
}

TEST(Pelton, ALanguageModelGivesNoEmbeddings) {
  const char* const texts[] = {"a"};
  float* vectors = nullptr;
  size_t width = 0;
  ExpectFailure(pelton_embed(SharedModel(), texts, nullptr, 1, nullptr, &vectors, &width, nullptr),
                PELTON_INVALID_ARGUMENT, "encoder");
  EXPECT_EQ(vectors, nullptr);
}

}  // namespace
}  // namespace pelton
