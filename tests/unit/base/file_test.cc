#include "base/file.h"

#include <fcntl.h>

#include <filesystem>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "base/unique_fd.h"
#include "tests/support/process.h"

namespace feedvault {
namespace {

TEST(File, IsReadWhole) {
  const testing::TempDir folder;
  const std::string text(100'000, 'x');
  ASSERT_TRUE(replace_file(folder.file("f"), text).ok());
  EXPECT_EQ(*read_file(folder.file("f")), text);
  EXPECT_EQ(*read_file(folder.file("f"), 100'000), text);
}

TEST(File, OverTheLimitIsRefused) {
  const testing::TempDir folder;
  ASSERT_TRUE(replace_file(folder.file("f"), "12345").ok());
  EXPECT_EQ(read_file(folder.file("f"), 4).status().code(), StatusCode::kExhausted);
}

TEST(File, ErrorsNameIt) {
  const testing::TempDir folder;
  const auto missing = read_file(folder.file("none"));
  EXPECT_EQ(missing.status().code(), StatusCode::kNotFound);
  EXPECT_NE(missing.status().message().find(folder.file("none")), std::string::npos);
  EXPECT_EQ(read_file(folder.path()).status().code(), StatusCode::kIo);
  EXPECT_EQ(replace_file(folder.file("no/such/f"), "x").code(), StatusCode::kNotFound);
}

TEST(File, IsReplacedAndNothingElseIsLeft) {
  const testing::TempDir folder;
  ASSERT_TRUE(replace_file(folder.file("f"), "old and longer").ok());
  ASSERT_TRUE(replace_file(folder.file("f"), "new").ok());
  EXPECT_EQ(*read_file(folder.file("f")), "new");
  EXPECT_FALSE(std::filesystem::exists(folder.file("f.new")));
}

TEST(File, KeepsTheOldTextWhenTheNewCannotBeWritten) {
  const testing::TempDir folder;
  ASSERT_TRUE(replace_file(folder.file("f"), "old").ok());
  std::filesystem::create_directory(folder.file("f.new"));
  EXPECT_FALSE(replace_file(folder.file("f"), "new").ok());
  EXPECT_EQ(*read_file(folder.file("f")), "old");
}

TEST(File, ARelativePathWorks) {
  const testing::TempDir folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  EXPECT_TRUE(replace_file("f", "x").ok());
  std::filesystem::current_path(before);
  EXPECT_EQ(*read_file(folder.file("f")), "x");
}

TEST(UniqueFd, ClosesOnce) {
  int raw = -1;
  {
    UniqueFd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    raw = fd.get();
    ASSERT_TRUE(fd.valid());
    UniqueFd moved(std::move(fd));
    EXPECT_EQ(moved.get(), raw);
    EXPECT_NE(::fcntl(raw, F_GETFD), -1);
  }
  EXPECT_EQ(::fcntl(raw, F_GETFD), -1);
}

}  // namespace
}  // namespace feedvault
