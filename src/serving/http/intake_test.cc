#include "serving/http/intake.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace pelton {
namespace {

TEST(IntakeTest, RunsEverythingBeforeItEnds) {
  std::atomic<int> done{0};
  {
    Intake intake(2, 100, 1000);
    for (int i = 0; i < 100; ++i) {
      while (!intake.Push(1, [&] { ++done; })) std::this_thread::yield();
    }
  }
  EXPECT_EQ(done.load(), 100);
}

TEST(IntakeTest, RefusesWhatPassesTheLimits) {
  std::promise<void> begun, go;
  Intake intake(1, 2, 100);
  ASSERT_TRUE(intake.Push(10, [&] {
    begun.set_value();
    go.get_future().wait();
  }));
  begun.get_future().wait();
  EXPECT_FALSE(intake.Push(91, [] {}));  // with the 10 that run
  EXPECT_TRUE(intake.Push(45, [] {}));
  EXPECT_FALSE(intake.Push(46, [] {}));
  EXPECT_TRUE(intake.Push(45, [] {}));
  EXPECT_FALSE(intake.Push(0, [] {}));  // two wait
  go.set_value();
}

}  // namespace
}  // namespace pelton
