#include "library/event_queue.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <thread>

namespace pelton::library {
namespace {

std::unique_ptr<Event> Token(int32_t id) {
  return std::make_unique<Event>(TokenEvent{.id = id, .text = {}, .logprob = 0, .top = {}},
                                 OutputDelta{.content = "text", .reasoning = {}, .calls = {}});
}

std::unique_ptr<Event> Finish() {
  return std::make_unique<Event>(FinishEvent{.reason = FinishReason::kStop}, OutputDelta());
}

bool IsReadable(int fd) {
  pollfd waited{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&waited, 1, 0) == 1;
}

TEST(Event, PointsToItsOwnCopies) {
  const std::vector<TokenLogprob> top = {{3, -0.5f}, {4, -1.5f}};
  OutputDelta delta;
  delta.content = "a";
  delta.reasoning = "because";
  delta.calls.push_back({.index = 1, .id = "call_1", .name = "look", .arguments = "{}"});
  const Event event(TokenEvent{.id = 3, .text = {}, .logprob = -0.5f, .top = top},
                    std::move(delta));
  const pelton_event& view = event.view();
  EXPECT_EQ(view.kind, PELTON_EVENT_TOKEN);
  EXPECT_EQ(view.struct_size, sizeof view);
  EXPECT_STREQ(view.text, "a");
  EXPECT_EQ(view.reasoning_bytes, 7u);
  ASSERT_EQ(view.num_calls, 1u);
  EXPECT_EQ(view.calls[0].index, 1u);
  EXPECT_STREQ(view.calls[0].name, "look");
  EXPECT_STREQ(view.calls[0].arguments, "{}");
  ASSERT_EQ(view.num_top, 2u);
  EXPECT_EQ(view.top[1].id, 4);
  EXPECT_EQ(view.logprob, -0.5f);
}

TEST(Event, AFinishSaysWhy) {
  const Event event(FinishEvent{.reason = FinishReason::kError, .status = Internal("broken")},
                    OutputDelta());
  EXPECT_EQ(event.view().finish_reason, PELTON_FINISH_ERROR);
  EXPECT_EQ(event.view().status, PELTON_INTERNAL);
  EXPECT_STREQ(event.view().message, "broken");
}

TEST(EventQueue, GivesEventsInTheirOrderAndThenNone) {
  EventQueue queue;
  EXPECT_EQ(queue.Take(0).status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(queue.Take(1).status().code(), StatusCode::kDeadlineExceeded);
  queue.Put(Token(1));
  queue.Put(Token(2));
  queue.Put(Finish());
  EXPECT_TRUE(queue.finished());
  EXPECT_EQ(queue.Take(0).value()->view().id, 1);
  EXPECT_EQ(queue.Take(-1).value()->view().id, 2);
  EXPECT_EQ(queue.Take(INT64_MAX).value()->view().kind, PELTON_EVENT_FINISH);
  EXPECT_EQ(queue.Take(-1).status().code(), StatusCode::kNotFound);
}

TEST(EventQueue, AWaiterGetsWhatAnotherThreadPuts) {
  EventQueue queue;
  std::thread other([&] {
    for (int32_t id = 0; id < 100; ++id) queue.Put(Token(id));
    queue.Put(Finish());
  });
  for (int32_t id = 0; id < 100; ++id) ASSERT_EQ(queue.Take(-1).value()->view().id, id);
  EXPECT_EQ(queue.Take(-1).value()->view().kind, PELTON_EVENT_FINISH);
  other.join();
}

TEST(EventQueue, TheDescriptorIsReadableWhileTakeWouldNotWait) {
  EventQueue queue;
  queue.Put(Token(1));
  const int fd = queue.Descriptor().value();
  EXPECT_EQ(queue.Descriptor().value(), fd);
  EXPECT_TRUE(IsReadable(fd));
  queue.Put(Token(2));
  ASSERT_TRUE(queue.Take(0).ok());
  EXPECT_TRUE(IsReadable(fd));
  ASSERT_TRUE(queue.Take(0).ok());
  EXPECT_FALSE(IsReadable(fd));
  queue.Put(Finish());
  EXPECT_TRUE(IsReadable(fd));
  ASSERT_TRUE(queue.Take(0).ok());
  // Take says that there is nothing more without waiting.
  EXPECT_TRUE(IsReadable(fd));
}

TEST(EventQueue, KeepsNothingThatNobodyTakes) {
  EventQueue queue;
  queue.Put(Token(1));
  queue.Abandon();
  queue.Put(Token(2));
  queue.Put(Finish());
  EXPECT_EQ(queue.Take(0).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace pelton::library
