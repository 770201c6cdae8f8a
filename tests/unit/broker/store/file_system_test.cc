// The operating system's files, and the interface's promises that a test can see.

#include "broker/store/file_system.h"

#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include "tests/support/process.h"
#include "tests/unit/broker/store/log_model.h"

namespace feedvault::broker::store {
namespace {

class RealFiles : public ::testing::Test {
 protected:
  FileSystem& fs_ = real_file_system();
  const feedvault::testing::TempDir folder_;
  const std::string dir_ = folder_.path();
};

TEST_F(RealFiles, WriteReadTruncate) {
  auto file = fs_.create(dir_ + "/a");
  ASSERT_TRUE(file.has_value());
  ASSERT_OK((*file)->write_at(3, "def"));
  ASSERT_OK((*file)->write_at(0, "abc"));
  char buffer[10];
  EXPECT_EQ(*(*file)->read_at(0, buffer), 6U);
  EXPECT_EQ(std::string(buffer, 6), "abcdef");
  EXPECT_EQ(*(*file)->read_at(6, buffer), 0U);
  ASSERT_OK((*file)->truncate(2));
  EXPECT_EQ(*(*file)->size(), 2U);
  ASSERT_OK((*file)->sync());
  EXPECT_EQ(*(*fs_.open(dir_ + "/a"))->size(), 2U);
  EXPECT_EQ(*(*fs_.create(dir_ + "/a"))->size(), 0U);
}

TEST_F(RealFiles, NamesComeAndGo) {
  ASSERT_OK(fs_.make_dir(dir_ + "/sub"));
  ASSERT_OK(fs_.make_dir(dir_ + "/sub"));
  ASSERT_TRUE(fs_.create(dir_ + "/b").has_value());
  ASSERT_OK(fs_.rename(dir_ + "/b", dir_ + "/a"));
  const auto entries = fs_.list(dir_);
  ASSERT_TRUE(entries.has_value());
  ASSERT_EQ(entries->size(), 2U);
  EXPECT_EQ((*entries)[0].name, "a");
  EXPECT_FALSE((*entries)[0].is_dir);
  EXPECT_EQ((*entries)[1].name, "sub");
  EXPECT_TRUE((*entries)[1].is_dir);
  ASSERT_OK(fs_.sync_dir(dir_));
  ASSERT_OK(fs_.remove(dir_ + "/a"));
  EXPECT_EQ(fs_.remove(dir_ + "/a").code(), StatusCode::kNotFound);
  EXPECT_EQ(fs_.open(dir_ + "/a").error().code(), StatusCode::kNotFound);
  EXPECT_EQ(fs_.list(dir_ + "/none").error().code(), StatusCode::kNotFound);
  EXPECT_EQ(fs_.sync_dir(dir_ + "/none").code(), StatusCode::kNotFound);
  EXPECT_NE(fs_.make_dir(dir_ + "/none/sub").message().find("none/sub"), std::string::npos);
  EXPECT_FALSE(fs_.incarnation().empty());
}

TEST_F(RealFiles, ADiskWithoutRoomIsExhausted) {
  auto full = fs_.open("/dev/full");
  ASSERT_TRUE(full.has_value()) << show(full.status());
  const Status status = (*full)->write_at(0, "x");
  EXPECT_EQ(status.code(), StatusCode::kExhausted) << show(status);
  EXPECT_NE(status.message().find("/dev/full"), std::string::npos);
}

TEST_F(RealFiles, ALogLivesOnThem) {
  const std::string dir = dir_ + "/log";
  LogOptions options;
  options.segment_bytes = 10'000;
  ModelMessages messages;
  RandomMessages random(1);
  for (int run = 0; run < 6; ++run) {
    auto log = MessageLog::open(fs_, dir, options, Clock::system());
    ASSERT_TRUE(log.has_value()) << show(log.error());
    EXPECT_TRUE((*log)->recovery().damage.empty());
    EXPECT_TRUE(read_all(**log) == messages);
    for (int i = 0; i < 100; ++i) {
      const ModelMessage message = random.message();
      const auto seq = append(**log, message);
      ASSERT_TRUE(seq.has_value());
      messages.emplace(*seq, message);
    }
    ASSERT_OK(run % 2 == 0 ? (*log)->close() : (*log)->sync());
    ASSERT_TRUE((*log)->compact().has_value() || run % 2 == 0);
  }
}

}  // namespace
}  // namespace feedvault::broker::store
