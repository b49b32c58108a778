#include "chat.h"

#include <fmt/format.h>
#include <readline/history.h>
#include <readline/readline.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <nlohmann/json.hpp>

#include "command.h"
#include "request_options.h"
#include "serving/request/prompt.h"

namespace pelton {
namespace {

std::atomic<bool> interrupted{false};

void OnInterrupt(int) { interrupted.store(true); }

// Ctrl-C sets a flag while one of these lives.
class InterruptGuard {
 public:
  InterruptGuard() {
    interrupted.store(false);
    struct sigaction action = {};
    action.sa_handler = OnInterrupt;
    ::sigaction(SIGINT, &action, &before_);
  }
  ~InterruptGuard() { ::sigaction(SIGINT, &before_, nullptr); }

 private:
  struct sigaction before_ = {};
};

// Writes text as it comes and keeps it; lets another thread wait for the end. The engine's thread
// calls it.
class Printer {
 public:
  void Print(std::string_view text) {
    if (text.empty()) return;
    text_ += text;
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }
  void End(const FinishEvent& event) {
    const std::lock_guard lock(mutex_);
    finish_ = event;
    finish_.text = {};
    ended_ = true;
    done_.notify_all();
  }
  // Whether the answer ended within a moment.
  bool WaitShortly() {
    std::unique_lock lock(mutex_);
    return done_.wait_for(lock, std::chrono::milliseconds(50), [&] { return ended_; });
  }
  const FinishEvent& finish() const { return finish_; }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::mutex mutex_;
  std::condition_variable done_;
  bool ended_ = false;
  FinishEvent finish_;
};

class PrintingObserver final : public RequestObserver {
 public:
  explicit PrintingObserver(Printer* printer) : printer_(printer) {}
  void OnToken(const TokenEvent& event) override { printer_->Print(event.text); }
  void OnFinish(const FinishEvent& event) override {
    printer_->Print(event.text);
    printer_->End(event);
  }

 private:
  Printer* printer_;
};

constexpr const char* kHelp =
    "  /system TEXT  set the system message and begin anew\n"
    "  /reset        forget the conversation\n"
    "  /stats        tokens and speed of the last answer, length of the conversation\n"
    "  /help         this text\n"
    "  /exit         leave (also Ctrl-D)\n"
    "  A line that ends in \\ goes on in the next; lines between two \"\"\" are one message.\n"
    "  Ctrl-C stops an answer.\n";

// One line from the terminal with editing and history, or from a pipe. False at the end.
bool ReadLine(const char* prompt, bool terminal, std::string* line) {
  if (terminal) {
    char* text = ::readline(prompt);
    if (text == nullptr) return false;
    *line = text;
    std::free(text);
    if (!line->empty()) ::add_history(line->c_str());
    return true;
  }
  line->clear();
  for (int c; (c = std::getchar()) != EOF;) {
    if (c == '\n') return true;
    *line += static_cast<char>(c);
  }
  return !line->empty();
}

// A message of one or, with """ or a final \, several lines. False at the end of the input.
bool ReadMessage(bool terminal, std::string* message) {
  std::string line;
  if (!ReadLine("> ", terminal, &line)) return false;
  message->clear();
  if (line == "\"\"\"") {
    while (ReadLine("… ", terminal, &line) && line != "\"\"\"") *message += line + "\n";
    return true;
  }
  while (!line.empty() && line.back() == '\\') {
    line.back() = '\n';
    *message += line;
    if (!ReadLine("… ", terminal, &line)) return true;
  }
  *message += line;
  return true;
}

// The conversation, and what the commands in it do.
class Conversation {
 public:
  Conversation(const LanguageModel& model, const SamplingParams& params, std::string system)
      : model_(model), params_(params), system_(std::move(system)) {
    Reset();
  }

  // False: the user wants to leave.
  bool Command(const std::string& line) {
    if (line == "/exit" || line == "/quit" || line == "/bye") return false;
    if (line == "/help" || line == "/?") {
      std::fputs(kHelp, stdout);
    } else if (line == "/reset" || line == "/clear") {
      Reset();
    } else if (line.rfind("/system", 0) == 0) {
      system_ = line.size() > 8 ? line.substr(8) : "";
      Reset();
    } else if (line == "/stats") {
      PrintStats();
    } else {
      fmt::print("Unknown command {}; /help lists them.\n", line);
    }
    return true;
  }

  void Ask(const std::string& text) {
    messages_.push_back({{"role", "user"}, {"content", text}});
    PromptRequest request{.params = params_};
    Result<std::vector<int32_t>> ids =
        model_.chat.format ? EncodeChat(model_, {.messages = messages_}) : EncodeRaw(model_, text);
    if (!ids.ok()) {
      messages_.erase(messages_.size() - 1);
      Fail(ids.status());
      return;
    }
    request.prompt_ids = std::move(ids).value();
    const StreamedAnswer answer = StreamAnswer(model_, request);
    if (!answer.status.ok()) {
      messages_.erase(messages_.size() - 1);
      Fail(answer.status);
      return;
    }
    last_ = answer.finish;
    // An answer that was stopped is part of the conversation as far as it went.
    messages_.push_back({{"role", "assistant"}, {"content", answer.text}});
  }

 private:
  void Reset() {
    messages_ = Json::array();
    if (!system_.empty()) messages_.push_back({{"role", "system"}, {"content", system_}});
    last_ = {};
  }
  void PrintStats() const {
    PrintSpeed(last_);
    fmt::print("{} messages; context {} of {} tokens\n", messages_.size(),
               last_.prompt_tokens + last_.output_tokens, model_.context_tokens);
  }

  const LanguageModel& model_;
  SamplingParams params_;
  std::string system_;
  Json messages_;
  FinishEvent last_;
};

}  // namespace

StreamedAnswer StreamAnswer(const LanguageModel& model, const PromptRequest& prompt) {
  const InterruptGuard guard;
  Printer printer;
  Request request = EngineRequest(model, prompt);
  request.observer = std::make_unique<PrintingObserver>(&printer);
  const Result<uint64_t> id = model.engine->Submit(std::move(request));
  StreamedAnswer answer;
  if (!id.ok()) {
    answer.status = id.status();
    return answer;
  }
  while (!printer.WaitShortly()) {
    if (interrupted.load() && !answer.interrupted) {
      answer.interrupted = true;
      model.engine->Cancel(*id);
    }
  }
  std::fputs("\n", stdout);
  std::fflush(stdout);
  answer.finish = printer.finish();
  answer.text = printer.text();
  if (!answer.interrupted) answer.status = answer.finish.status;
  return answer;
}

void PrintSpeed(const FinishEvent& finish) {
  const auto rate = [](size_t tokens, int64_t ns) {
    return ns > 0 ? static_cast<double>(tokens) * 1e9 / static_cast<double>(ns) : 0.0;
  };
  const size_t computed = finish.prompt_tokens - finish.cached_tokens;
  std::fflush(stdout);
  fmt::print(stderr, "[prompt {} tokens", finish.prompt_tokens);
  if (finish.cached_tokens > 0) fmt::print(stderr, " ({} cached)", finish.cached_tokens);
  fmt::print(stderr, ", {:.0f}/s; answer {} tokens, {:.0f}/s]\n", rate(computed, finish.prompt_ns),
             finish.output_tokens,
             rate(finish.output_tokens > 0 ? finish.output_tokens - 1 : 0, finish.output_ns));
}

int Chat(const LanguageModel& model, const SamplingParams& params, const std::string& system) {
  if (model.tokenizer == nullptr) {
    return Fail(InvalidArgument("the model has no tokenizer; give --prompt-ids"));
  }
  const bool terminal = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  if (terminal) {
    fmt::print(
        "{}, {} tokens of context. /help lists the commands.\n",
        model.files.config.name.empty() ? model.files.config.architecture : model.files.config.name,
        model.context_tokens);
  }
  Conversation conversation(model, params, system);
  for (std::string message; ReadMessage(terminal, &message);) {
    if (message.empty()) continue;
    if (message[0] == '/') {
      if (!conversation.Command(message)) break;
    } else {
      conversation.Ask(message);
    }
  }
  if (terminal) std::fputs("\n", stdout);
  return kExitOk;
}

}  // namespace pelton
