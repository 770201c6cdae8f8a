#include "broker/store/state_file.h"

#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "tests/unit/broker/store/log_model.h"

namespace feedvault::broker::store {
namespace {

using testing::PowerLossFileSystem;

constexpr const char* kPath = "/store/c.state";

class State : public ::testing::Test {
 protected:
  State() { static_cast<void>(fs_.make_dir("/store")); }

  StateFile::Contents open() {
    StateFile::Contents contents;
    file_.reset();
    auto file = StateFile::open(fs_, kPath, contents);
    EXPECT_TRUE(file.has_value()) << show(file.status());
    file_ = file.has_value() ? std::move(*file) : nullptr;
    return contents;
  }
  StateFile::Contents after_power_cut() {
    fs_.cut_now(PowerLossFileSystem::Mode::kForget);
    file_.reset();
    fs_.restart();
    return open();
  }

  PowerLossFileSystem fs_{1};
  std::unique_ptr<StateFile> file_;
};

TEST_F(State, IsNothingAtFirst) {
  const StateFile::Contents contents = open();
  EXPECT_EQ(contents.generation, 0U);
  EXPECT_FALSE(contents.damaged);
  EXPECT_TRUE(fs_.files().empty());
  EXPECT_EQ(StateFile::load(fs_, kPath).error().code(), StatusCode::kNotFound);
}

TEST_F(State, KeepsTheSnapshotAndTheChangesSince) {
  open();
  ASSERT_OK(file_->write_snapshot("old", Promise::kSynced));
  ASSERT_OK(file_->write_change("lost with the old", Promise::kWritten));
  ASSERT_OK(file_->write_snapshot("new", Promise::kWritten));
  ASSERT_OK(file_->write_change("one", Promise::kWritten));
  ASSERT_OK(file_->write_change("two", Promise::kWritten));
  const StateFile::Contents contents = open();
  EXPECT_EQ(contents.snapshot, "new");
  EXPECT_EQ(contents.changes, (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(contents.generation, 5U);
  ASSERT_OK(file_->write_change("three", Promise::kWritten));
  EXPECT_EQ(open().changes.size(), 3U);
}

TEST_F(State, AnEmptySnapshotIsAState) {
  open();
  ASSERT_OK(file_->write_snapshot("", Promise::kSynced));
  const StateFile::Contents contents = open();
  EXPECT_EQ(contents.generation, 1U);
  EXPECT_EQ(contents.snapshot, "");
  EXPECT_FALSE(contents.damaged);
}

TEST_F(State, ThePromiseDecidesWhatAPowerCutLeaves) {
  open();
  ASSERT_OK(file_->write_snapshot("synced", Promise::kSynced));
  ASSERT_OK(file_->write_change("synced, too", Promise::kSynced));
  ASSERT_OK(file_->write_change("written", Promise::kWritten));
  const StateFile::Contents contents = after_power_cut();
  EXPECT_EQ(contents.snapshot, "synced");
  EXPECT_EQ(contents.changes, std::vector<std::string>{"synced, too"});
  ASSERT_OK(file_->write_change("synced later", Promise::kWritten));
  ASSERT_OK(file_->sync());
  EXPECT_EQ(after_power_cut().changes.size(), 2U);
}

TEST_F(State, StaysSmall) {
  open();
  for (int i = 0; i < 10000; ++i) {
    ASSERT_OK(file_->write_snapshot(std::string(100, 'x') + std::to_string(i), Promise::kWritten));
  }
  EXPECT_LT(fs_.total_bytes(), 600'000U);
  EXPECT_EQ(open().snapshot, std::string(100, 'x') + "9999");
}

TEST_F(State, SaysWhenASnapshotPays) {
  open();
  ASSERT_OK(file_->write_snapshot(std::string(1000, 's'), Promise::kWritten));
  EXPECT_FALSE(file_->wants_snapshot());
  for (int i = 0; i < 200; ++i) {
    ASSERT_OK(file_->write_change("a change", Promise::kWritten));
  }
  EXPECT_TRUE(file_->wants_snapshot());
  ASSERT_OK(file_->write_snapshot(std::string(1000, 's'), Promise::kWritten));
  EXPECT_FALSE(file_->wants_snapshot());
}

TEST_F(State, AFailedSyncStopsIt) {
  open();
  ASSERT_OK(file_->write_snapshot("kept", Promise::kSynced));
  fs_.set_fault([](PowerLossFileSystem::Op op, const std::string&) {
    return op == PowerLossFileSystem::Op::kSync ? io_error("injected") : Status();
  });
  const Status status = file_->write_change("lost", Promise::kSynced);
  EXPECT_EQ(status.code(), StatusCode::kIo);
  EXPECT_NE(status.message().find("injected"), std::string::npos);
  fs_.set_fault(nullptr);
  EXPECT_EQ(file_->write_change("x", Promise::kWritten), status);
  EXPECT_EQ(file_->write_snapshot("x", Promise::kWritten), status);
  EXPECT_EQ(file_->sync(), status);
  EXPECT_EQ(after_power_cut().snapshot, "kept");
}

TEST_F(State, AFullDiskCanBeTriedAgain) {
  open();
  ASSERT_OK(file_->write_snapshot("small", Promise::kSynced));
  fs_.set_capacity(fs_.total_bytes() + 10);
  EXPECT_EQ(file_->write_change(std::string(100, 'x'), Promise::kSynced).code(),
            StatusCode::kExhausted);
  EXPECT_EQ(file_->write_snapshot(std::string(100, 'x'), Promise::kSynced).code(),
            StatusCode::kExhausted);
  fs_.set_capacity(~std::uint64_t{0});
  ASSERT_OK(file_->write_change("fits", Promise::kSynced));
  const StateFile::Contents contents = after_power_cut();
  EXPECT_EQ(contents.snapshot, "small");
  EXPECT_EQ(contents.changes, std::vector<std::string>{"fits"});
  EXPECT_FALSE(contents.damaged);
}

TEST_F(State, RubbishIsNoState) {
  fs_.set_contents(kPath, std::string(1000, 'r'));
  const StateFile::Contents contents = open();
  EXPECT_TRUE(contents.damaged);
  EXPECT_EQ(contents.generation, 0U);
  ASSERT_OK(file_->write_snapshot("new", Promise::kSynced));
  EXPECT_EQ(open().snapshot, "new");
}

TEST_F(State, AFlippedBitNeverMakesAnotherState) {
  open();
  std::vector<std::string> states;
  for (int i = 0; i < 8; ++i) {
    states.push_back("state " + std::to_string(i));
    ASSERT_OK(file_->write_snapshot(states.back(), Promise::kSynced));
    ASSERT_OK(file_->write_change("change of " + states.back(), Promise::kSynced));
  }
  const std::string whole = fs_.contents(kPath);
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string bytes = whole;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    fs_.set_contents(kPath, bytes);
    const auto contents = StateFile::load(fs_, kPath);
    ASSERT_TRUE(contents.has_value());
    // What was promised to be synced is there twice: only the last change can be lost.
    ASSERT_EQ(contents->snapshot, "state 7") << "bit " << bit;
    // Its record is 24 bytes and the text, then zeros that nobody reads.
    const std::size_t last = whole.size() - 48;
    const bool in_last = bit / 8 >= last && bit / 8 < last + 24 + states.back().size() + 10;
    ASSERT_EQ(contents->generation, in_last ? 15U : 16U) << "bit " << bit;
    for (const std::string& change : contents->changes) {
      ASSERT_EQ(change, "change of " + contents->snapshot) << "bit " << bit;
    }
    ASSERT_FALSE(contents->damaged);
    ASSERT_TRUE(contents->repaired || bit / 8 >= 24);
  }
}

TEST_F(State, ALostCopyOfTheSnapshotCostsNothingAndIsMadeAgain) {
  open();
  ASSERT_OK(file_->write_snapshot("base", Promise::kSynced));
  ASSERT_OK(file_->write_change("one", Promise::kSynced));
  const std::string whole = fs_.contents(kPath);
  for (const std::size_t at : {10U, 24U + 26U, 24U + 32U + 26U}) {  // header, snapshot, copy
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 4);
    fs_.set_contents(kPath, bytes);
    StateFile::Contents contents = open();
    EXPECT_EQ(contents.snapshot, "base");
    EXPECT_EQ(contents.changes, std::vector<std::string>{"one"}) << at;
    EXPECT_TRUE(contents.repaired) << at;
    ASSERT_OK(file_->write_change("two", Promise::kSynced));
    ASSERT_OK(file_->write_snapshot("next", Promise::kWritten));
    contents = open();
    EXPECT_EQ(contents.snapshot, "next");
    EXPECT_FALSE(contents.repaired || contents.damaged) << at;
  }
  // Both of them: nothing is left, and that is said.
  std::string bytes = whole;
  bytes[24 + 26] = bytes[24 + 32 + 26] = '?';
  fs_.set_contents(kPath, bytes);
  const StateFile::Contents contents = open();
  EXPECT_EQ(contents.generation, 0U);
  EXPECT_TRUE(contents.damaged);
}

// States are numbers written as text; whatever comes back must have been written, and be no older
// than the last one that was synced.
TEST_F(State, SurvivesPowerCutsAnywhere) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    PowerLossFileSystem fs(seed);
    ASSERT_OK(fs.make_dir("/store"));
    int written = 0;
    int synced = 0;
    for (int cut = 0; cut < 30; ++cut) {
      StateFile::Contents contents;
      auto file = StateFile::open(fs, kPath, contents);
      ASSERT_TRUE(file.has_value()) << show(file.status());
      int found = contents.generation == 0 ? 0 : std::stoi(contents.snapshot);
      for (const std::string& change : contents.changes) {
        ASSERT_EQ(std::stoi(change), found + 1);
        ++found;
      }
      ASSERT_GE(found, synced) << "cut " << cut;
      ASSERT_LE(found, written) << "cut " << cut;
      synced = written = found;
      fs.cut_after(random() % 60, PowerLossFileSystem::Mode::kKeepSome);
      bool snapshot = contents.generation == 0;
      for (Status status; status.ok(); snapshot = random() % 5 == 0) {
        const Promise promise = random() % 3 == 0 ? Promise::kSynced : Promise::kWritten;
        const std::string text = std::to_string(written + 1) + std::string(random() % 2000, ' ');
        ++written;
        status = snapshot ? (*file)->write_snapshot(text, promise)
                          : (*file)->write_change(text, promise);
        synced = status.ok() && promise == Promise::kSynced ? written : synced;
      }
      ASSERT_TRUE(fs.is_off());
      fs.restart();
    }
  }
}

TEST_F(State, IsDurableAfterASyncOnAnotherThreadAndNotBefore) {
  open();
  ASSERT_OK(file_->write_snapshot("base", Promise::kSynced));
  ASSERT_OK(file_->write_change("one", Promise::kWritten));
  const StateFile::Sync sync = file_->begin_sync();
  Status result;
  std::thread other([&] { result = sync.run(); });
  other.join();
  ASSERT_OK(file_->write_change("two", Promise::kWritten));
  EXPECT_EQ(file_->synced_generation(), 1U);
  ASSERT_OK(file_->end_sync(sync, result));
  EXPECT_EQ(file_->synced_generation(), 2U);
  EXPECT_EQ(after_power_cut().changes, std::vector<std::string>{"one"});
}

TEST_F(State, ASyncOutlivesTheFileThatANewOneReplaced) {
  open();
  ASSERT_OK(file_->write_snapshot("base", Promise::kSynced));
  const StateFile::Sync sync = file_->begin_sync();
  ASSERT_OK(file_->write_change(std::string(600'000, 'x'), Promise::kWritten));
  ASSERT_OK(file_->write_snapshot("next", Promise::kWritten));
  ASSERT_OK(file_->end_sync(sync, sync.run()));
  EXPECT_EQ(file_->synced_generation(), file_->generation());
  const StateFile::Sync late = file_->begin_sync();
  file_.reset();
  EXPECT_OK(late.run());
}

TEST_F(State, StopsWhenTheOtherThreadsSyncFails) {
  open();
  ASSERT_OK(file_->write_snapshot("base", Promise::kSynced));
  ASSERT_OK(file_->write_change("one", Promise::kWritten));
  const StateFile::Sync sync = file_->begin_sync();
  fs_.set_fault([](PowerLossFileSystem::Op op, const std::string&) {
    return op == PowerLossFileSystem::Op::kSync ? io_error("the disk is gone") : Status();
  });
  const Status result = sync.run();
  EXPECT_EQ(result.code(), StatusCode::kIo);
  // The kernel tells once. A later sync of the same file must not believe that all is well.
  fs_.set_fault(nullptr);
  EXPECT_EQ(file_->sync().code(), StatusCode::kIo);
  EXPECT_EQ(file_->end_sync(sync, result).code(), StatusCode::kIo);
  EXPECT_EQ(file_->write_change("two", Promise::kWritten).code(), StatusCode::kIo);
}

}  // namespace
}  // namespace feedvault::broker::store
