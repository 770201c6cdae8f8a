#include "client/position_store.h"

#include <sys/stat.h>

#include <fstream>

#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/support/process.h"

namespace feedvault {
namespace {

class FilePositionStoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<PositionStore> open() {
    auto store = open_file_position_store(folder_.file("positions"));
    EXPECT_TRUE(store) << store.status().to_string();
    return std::move(store).value();
  }
  std::string path() const { return folder_.file("positions") + "/events.position"; }
  void write(const std::string& text) const { std::ofstream(path()) << text; }

  testing::TempDir folder_;
};

TEST_F(FilePositionStoreTest, HasNoPositionAtFirst) {
  const auto position = open()->load("events");
  ASSERT_TRUE(position);
  EXPECT_FALSE(position->has_value());
}

TEST_F(FilePositionStoreTest, AnotherStoreLoadsWhatOneSaved) {
  for (const std::uint64_t seq : {std::uint64_t{1}, std::uint64_t{4711}, ~std::uint64_t{0}}) {
    ASSERT_TRUE(open()->save("events", seq).ok());
    EXPECT_EQ(open()->load("events").value(), seq);
  }
  EXPECT_FALSE(open()->load("executions").value().has_value());
}

TEST_F(FilePositionStoreTest, TakesAPositionWrittenByHand) {
  auto store = open();
  write("events:4711\n");
  EXPECT_EQ(store->load("events").value(), 4711U);
}

TEST_F(FilePositionStoreTest, ADamagedFileIsAnErrorThatNamesIt) {
  auto store = open();
  ASSERT_TRUE(store->save("events", 4711).ok());
  const std::string good = read_file(path()).value();
  std::vector<std::string> damaged = {"",
                                      "\n",
                                      "events:\n",
                                      "events:x\n",
                                      "executions:4711\n",
                                      "events:47 11\n",
                                      "events:18446744073709551616\n",
                                      good + good,
                                      std::string(16, '\0')};
  for (std::size_t size = 1; size < good.size(); ++size) {
    damaged.push_back(good.substr(0, size));
  }
  for (std::size_t i = 0; i + 1 < good.size(); ++i) {
    std::string flipped = good;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    damaged.push_back(flipped);
  }
  for (const std::string& text : damaged) {
    write(text);
    const auto position = store->load("events");
    ASSERT_FALSE(position) << text;
    EXPECT_EQ(position.error().code(), StatusCode::kCorruption) << text;
    EXPECT_NE(position.error().message().find(path()), std::string::npos);
  }
}

TEST_F(FilePositionStoreTest, AFolderThatCannotBeOneIsAnError) {
  EXPECT_FALSE(open_file_position_store(folder_.file("missing/positions")));
  std::ofstream(folder_.file("file")) << "x";
  EXPECT_EQ(open_file_position_store(folder_.file("file")).status().code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace feedvault
