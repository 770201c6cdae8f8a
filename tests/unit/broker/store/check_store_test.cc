#include "broker/store/check_store.h"

#include <gtest/gtest.h>

#include "broker/store/state_file.h"
#include "tests/unit/broker/store/log_model.h"

namespace feedvault::broker::store {
namespace {

class Check : public ::testing::Test {
 protected:
  Check() {
    for (const char* dir : {"/store", "/store/one", "/store/two", "/store/one/consumers"}) {
      static_cast<void>(fs_.make_dir(dir));
    }
    for (const char* dir : {"/store/one/log", "/store/two/log"}) {
      auto log = MessageLog::open(fs_, dir, options_, Clock::system());
      for (int i = 0; i < 100; ++i) {
        EXPECT_TRUE((*log)->append("a.b", "", payload(i), 1).has_value());
      }
      EXPECT_OK((*log)->remove(7));
      EXPECT_OK(std::string(dir) == "/store/one/log" ? (*log)->close() : (*log)->sync());
    }
    StateFile::Contents contents;
    auto state = StateFile::open(fs_, "/store/one/consumers/c.state", contents);
    EXPECT_OK((*state)->write_snapshot("position", Promise::kSynced));
    EXPECT_OK((*state)->write_change("later", Promise::kSynced));
  }
  /// None is the beginning of another one: the byte behind a payload may be any.
  static std::string payload(int i) { return "payload " + std::to_string(1000 + i); }
  StoreReport check() {
    auto report = check_store(fs_, "/store");
    EXPECT_TRUE(report.has_value()) << show(report.status());
    return report.has_value() ? *report : StoreReport();
  }
  void flip(const std::string& path, const std::string& text) {
    std::string bytes = fs_.contents(path);
    ASSERT_NE(bytes.find(text), std::string::npos);
    bytes[bytes.find(text)] ^= 1;
    fs_.set_contents(path, bytes);
  }

  testing::PowerLossFileSystem fs_{1};
  LogOptions options_;
};

TEST_F(Check, CountsWhatIsThere) {
  const StoreReport report = check();
  EXPECT_TRUE(report.healthy()) << report.to_string();
  ASSERT_EQ(report.streams.size(), 2U);
  EXPECT_EQ(report.state_files, 1U);
  const StreamReport& one = report.streams[0];
  EXPECT_EQ(one.dir, "/store/one/log");
  EXPECT_TRUE(one.clean);
  EXPECT_FALSE(report.streams[1].clean);
  for (const StreamReport& stream : report.streams) {
    EXPECT_EQ(stream.messages, 99U);
    EXPECT_EQ(stream.records, 101U);
    EXPECT_EQ(stream.segments, 1U);
    EXPECT_EQ(stream.first_seq, 1U);
    EXPECT_EQ(stream.last_seq, 100U);
  }
  EXPECT_NE(report.to_string().find("2 streams, 1 state files: no damage"), std::string::npos);
}

TEST_F(Check, NamesADamagedMessage) {
  for (const std::string dir : {"/store/one/log", "/store/two/log"}) {
    flip(dir + "/segment-0000000000000001", payload(41));
  }
  const StoreReport report = check();
  EXPECT_FALSE(report.healthy());
  for (const StreamReport& stream : report.streams) {
    ASSERT_EQ(stream.damage.size(), 1U) << report.to_string();
    EXPECT_EQ(stream.damage[0].first_seq, 42U);
    EXPECT_EQ(stream.damage[0].last_seq, 42U);
    EXPECT_EQ(stream.messages, 98U);
  }
  EXPECT_NE(report.to_string().find("message 42"), std::string::npos);
  EXPECT_NE(report.to_string().find("DAMAGED"), std::string::npos);
}

TEST_F(Check, DamageToWhatWasRemovedIsNone) {
  flip("/store/two/log/segment-0000000000000001", payload(6));
  EXPECT_TRUE(check().healthy());
}

TEST_F(Check, TellsOfADamagedMark) {
  for (const std::string name : {"sequence", "synced"}) {
    const std::string path = "/store/one/log/" + name;
    const std::string before = fs_.contents(path);
    for (const std::size_t slot : {0U, 1U, 2U, 3U}) {
      for (const std::size_t byte : {0U, 8U, 40U, 71U}) {
        SCOPED_TRACE(name + " slot " + std::to_string(slot) + '.' + std::to_string(byte));
        std::string bytes = before;
        bytes[slot * 4096 + byte] ^= 4;
        fs_.set_contents(path, bytes);
        const StoreReport report = check();
        EXPECT_EQ(report.streams[0].slots_damaged, 1U);
        EXPECT_EQ(report.streams[0].messages, 99U);
        EXPECT_TRUE(report.healthy()) << report.to_string();
        EXPECT_NE(report.to_string().find("1 places in `sequence`"), std::string::npos);
      }
    }
    fs_.set_contents(path, before);
  }
  EXPECT_EQ(check().streams[0].slots_damaged, 0U);
}

TEST_F(Check, NamesADamagedStateFile) {
  flip("/store/one/consumers/c.state", "position");
  const StoreReport report = check();
  EXPECT_FALSE(report.healthy());
  ASSERT_EQ(report.damaged_state_files.size(), 1U);
  EXPECT_EQ(report.damaged_state_files[0].file, "/store/one/consumers/c.state");
}

TEST_F(Check, ChangesNothing) {
  const std::uint64_t operations = fs_.operations();
  check();
  EXPECT_EQ(fs_.operations(), operations);
}

TEST_F(Check, SaysWhenThereIsNothing) {
  EXPECT_EQ(check_store(fs_, "/none").error().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace feedvault::broker::store
