#include "serving/batch/batch_service.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>

namespace pelton {
namespace {

constexpr const char* kChat = "/v1/chat/completions";

using RequestPtr = std::shared_ptr<const HttpRequest>;
using ResponsePtr = std::shared_ptr<HttpResponse>;

class BatchServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    options_.folder = testing::TempDir() + "pelton_batches_" + std::to_string(::getpid());
    std::filesystem::remove_all(options_.folder);
  }
  void TearDown() override {
    service_.reset();
    std::filesystem::remove_all(options_.folder);
  }

  // Opens the service as a new process does; `answer` stands in for the server.
  void Start(std::function<void(const RequestPtr&, const ResponsePtr&)> answer) {
    service_.reset();
    Result<std::unique_ptr<BatchService>> opened = BatchService::Open(options_, metrics_);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    service_ = std::move(opened).value();
    service_->Start(
        [answer = std::move(answer)](const RequestPtr& request, const ResponsePtr& response,
                                     const std::shared_ptr<Tenant>&) { answer(request, response); },
        [this](const std::string& identity) { return identity == "gone" ? nullptr : tenant_; });
  }

  // A batch of so many requests whose bodies are {"n":0}, {"n":1}, …
  Batch Create(size_t requests, const std::string& tenant = "t") {
    std::string text;
    for (size_t i = 0; i < requests; ++i) {
      text += R"({"custom_id":"c)" + std::to_string(i) + R"(","method":"POST","url":")" + kChat +
              R"(","body":{"n":)" + std::to_string(i) + "}}\n";
    }
    return CreateOf(text, tenant);
  }
  Batch CreateOf(const std::string& text, const std::string& tenant = "t") {
    const Result<StoredFile> file = service_->files().Add(
        {.id = "", .tenant = tenant, .filename = "in", .purpose = "batch"}, text);
    EXPECT_TRUE(file.ok());
    Batch batch{.id = "", .tenant = tenant, .endpoint = kChat, .input_file = file->id};
    const std::optional<ApiError> error = service_->Create(&batch);
    EXPECT_FALSE(error) << error->message;
    return batch;
  }

  Batch WaitUntil(const Batch& batch, const std::function<bool(const Batch&)>& reached) {
    for (int i = 0; i < 12'000; ++i) {
      const std::optional<Batch> now = service_->Find(batch.tenant, batch.id);
      if (!now) break;
      if (reached(*now)) return *now;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    ADD_FAILURE() << "it does not come so far";
    return batch;
  }
  Batch WaitEnded(const Batch& batch) {
    return WaitUntil(batch, [](const Batch& now) { return now.ended(); });
  }
  // The custom_ids of a file's lines, sorted.
  std::vector<std::string> Ids(const std::string& file, const std::string& tenant = "t") {
    std::vector<std::string> ids;
    const Result<std::string> content = service_->files().Content(tenant, file);
    if (!content.ok()) return {"no file"};
    std::string_view text = *content;
    while (!text.empty()) {
      const std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(line.size() + 1);
      ids.push_back(CustomIdOf(line).value_or("damaged"));
    }
    std::ranges::sort(ids);
    return ids;
  }

  BatchOptions options_;
  MetricRegistry metrics_;
  std::shared_ptr<Tenant> tenant_ =
      std::make_shared<Tenant>(TenantSpec{.name = "t"}, TenantMetrics(metrics_, "t"));
  std::unique_ptr<BatchService> service_;
};

void Echo(const RequestPtr& request, const ResponsePtr& response) {
  response->Send(200, {}, request->body);
}

TEST_F(BatchServiceTest, AnswersGoToTheOutputAndErrorsToTheirOwn) {
  Start([](const RequestPtr& request, const ResponsePtr& response) {
    EXPECT_EQ(request->path, kChat);
    EXPECT_EQ(request->method, "POST");
    const bool bad = request->body == R"({"n":1})";
    response->Send(bad ? 400 : 200, {}, request->body);
  });
  const Batch batch = WaitEnded(Create(100));
  EXPECT_EQ(BatchStateName(batch.state), "completed");
  EXPECT_EQ(batch.total, 100u);
  EXPECT_EQ(batch.completed, 99u);
  EXPECT_EQ(batch.failed, 1u);
  EXPECT_EQ(Ids(batch.output_file).size(), 99u);
  EXPECT_EQ(Ids(batch.error_file), (std::vector<std::string>{"c1"}));
  const std::string output = *service_->files().Content("t", batch.output_file);
  for (std::string_view rest = output; !rest.empty();) {
    const Json line = Json::parse(rest.substr(0, rest.find('\n')));
    const int n = line["response"]["body"]["n"];
    EXPECT_EQ(line["custom_id"].get<std::string>(), "c" + std::to_string(n));
    EXPECT_EQ(line["response"]["status_code"], 200);
    rest.remove_prefix(rest.find('\n') + 1);
  }
  EXPECT_FALSE(service_->Find("u", batch.id));
  EXPECT_TRUE(service_->List("u").empty());
  EXPECT_EQ(service_->files().List("t").size(), 3u);
  EXPECT_TRUE(service_->files().Remove("t", batch.input_file).ok());
}

TEST_F(BatchServiceTest, WhatCannotRunIsSaid) {
  Start(&Echo);
  const Batch batch = WaitEnded(CreateOf("{}\nx\n"));
  EXPECT_EQ(batch.state, BatchState::kFailed);
  ASSERT_EQ(batch.problems.size(), 2u);
  EXPECT_EQ(batch.problems[1].line, 2u);
  const Batch orphan = WaitEnded(Create(3, "gone"));
  EXPECT_EQ(orphan.state, BatchState::kFailed);
  EXPECT_EQ(orphan.problems[0].code, "tenant_not_found");
  Batch none{.id = "", .tenant = "t", .endpoint = kChat, .input_file = "file-none"};
  EXPECT_EQ(service_->Create(&none)->status, 404);
  none.input_file = batch.input_file;
  none.tenant = "u";
  EXPECT_EQ(service_->Create(&none)->status, 404);
}

TEST_F(BatchServiceTest, ABusyServerIsAskedAgain) {
  std::atomic<int> asked{0};
  Start([&](const RequestPtr& request, const ResponsePtr& response) {
    response->Send(asked++ == 0 ? 429 : 200, {}, request->body);
  });
  const Batch batch = WaitEnded(Create(3));
  EXPECT_EQ(batch.completed, 3u);
  EXPECT_EQ(asked, 4);
}

TEST_F(BatchServiceTest, ACancelledBatchEndsAtOnce) {
  std::atomic<int> open{0}, closed{0};
  options_.max_in_flight = 4;
  Start([&](const RequestPtr& request, const ResponsePtr& response) {
    if (request->body == R"({"n":0})") return response->Send(200, {}, request->body);
    // Held by its own callback until it is closed.
    response->OnClose([&, held = response] { ++closed; });
    ++open;
  });
  const Batch batch = Create(10);
  WaitUntil(batch, [&](const Batch& now) { return now.completed == 1 && open == 4; });
  EXPECT_EQ(service_->files().Remove("t", batch.input_file).code(), StatusCode::kInvalidArgument);
  Batch cancelled;
  EXPECT_EQ(service_->Cancel("u", batch.id, &cancelled)->status, 404);
  ASSERT_FALSE(service_->Cancel("t", batch.id, &cancelled));
  EXPECT_EQ(cancelled.state, BatchState::kCancelling);
  const Batch ended = WaitEnded(batch);
  EXPECT_EQ(ended.state, BatchState::kCancelled);
  EXPECT_EQ(closed, 4);
  EXPECT_EQ(Ids(ended.output_file), (std::vector<std::string>{"c0"}));
  EXPECT_EQ(service_->Cancel("t", batch.id, &cancelled)->status, 400);
}

TEST_F(BatchServiceTest, ALaterProcessGoesOn) {
  options_.max_in_flight = 3;
  std::atomic<int> answered{0};
  std::vector<ResponsePtr> held;
  Start([&](const RequestPtr& request, const ResponsePtr& response) {
    if (answered < 4) {
      ++answered;
      response->Send(200, {}, request->body);
    } else {
      held.push_back(response);
    }
  });
  const Batch batch = Create(12);
  WaitUntil(batch, [](const Batch& now) { return now.completed == 4; });
  service_->Stop();
  const std::string output = service_->Find("t", batch.id)->output_file;
  service_.reset();
  held.clear();
  // The machine stopped within a line.
  std::ofstream(options_.folder + "/" + output, std::ios::app) << R"({"custom_id":"c11")";
  Start(&Echo);
  const Batch ended = WaitEnded(batch);
  EXPECT_EQ(ended.state, BatchState::kCompleted);
  EXPECT_EQ(ended.completed, 12u);
  const std::vector<std::string> ids = Ids(ended.output_file);
  EXPECT_EQ(ids.size(), 12u);
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), 12u);
  // It is there as it ended.
  Start(&Echo);
  EXPECT_EQ(BatchJson(*service_->Find("t", batch.id)), BatchJson(ended));
  EXPECT_EQ(Ids(ended.output_file).size(), 12u);
}

TEST_F(BatchServiceTest, AFullDiskEndsABatch) {
  options_.files.max_bytes = 2000;
  Start([](const RequestPtr&, const ResponsePtr& response) {
    response->Send(200, {}, "\"" + std::string(400, 'x') + "\"");
  });
  const Batch batch = WaitEnded(Create(10));
  EXPECT_EQ(batch.state, BatchState::kFailed);
  EXPECT_EQ(batch.problems[0].code, "storage_full");
  EXPECT_GE(batch.completed, 1u);
  EXPECT_EQ(Ids(batch.output_file).size(), batch.completed);
  EXPECT_LE(service_->files().bytes(), 2000u);
}

TEST_F(BatchServiceTest, BatchesTakeTurns) {
  options_.max_in_flight = 1;
  std::vector<std::string> order;
  std::atomic<bool> go{false};
  Start([&](const RequestPtr& request, const ResponsePtr& response) {
    while (!go) std::this_thread::yield();
    order.push_back(request->body);
    response->Send(200, {}, request->body);
  });
  const Batch one = Create(5);
  const Batch two = Create(5);
  go = true;
  WaitEnded(one);
  WaitEnded(two);
  service_->Stop();
  // The second request of the one that began was not before the first of the other by much.
  size_t firsts = 0, at = 0;
  for (; at < order.size() && firsts < 2; ++at) firsts += order[at] == R"({"n":0})" ? 1 : 0;
  EXPECT_LE(at, 3u);
}

}  // namespace
}  // namespace pelton
