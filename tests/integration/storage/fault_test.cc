
#include <csignal>
#include <future>

#include "tests/integration/storage/fixture.h"

namespace feedvault::storage {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::eventually;

/// What can go wrong between a writer and its server.
class FaultTest : public StorageTest {
 protected:
  /// Connection ids of the service user's sessions.
  std::string sessions() {
    return value("SELECT id FROM information_schema.processlist WHERE user='" + config_.user + "'");
  }
  /// A statement in the service user's session that the server is working on.
  bool running(const std::string& statement) {
    return value("SELECT COUNT(*) FROM information_schema.processlist WHERE user='" + config_.user +
                 "' AND info LIKE '" + statement + "%'") != "0";
  }
  /// A second administrator, who keeps a session open with what `statements` got it.
  std::unique_ptr<testing::Process> hold(const std::string& statements) {
    auto process = std::make_unique<testing::Process>(
        testing::Process::Options{.command = {"mariadb",
                                              "--no-defaults",
                                              "--socket=" + server().socket(),
                                              "--user=root",
                                              "--execute=" + statements + "; SELECT SLEEP(600)",
                                              config_.database},
                                  .environment = {},
                                  .output_file = "/dev/null",
                                  .working_folder = ""});
    EXPECT_TRUE(eventually([&] {
      return value(
                 "SELECT COUNT(*) FROM information_schema.processlist WHERE "
                 "info='SELECT SLEEP(600)'") == "1";
    }));
    return process;
  }
  /// Ends what hold() holds. (The server would notice the client's end by itself, seconds later.)
  void release() {
    server().sql("KILL " + value("SELECT id FROM information_schema.processlist WHERE "
                                 "info='SELECT SLEEP(600)'"));
  }
  static TestBatch one(std::uint64_t n) {
    TestBatch batch(n);
    batch.message("m" + std::to_string(n), "data");
    return batch;
  }
};

TEST_F(FaultTest, APredecessorIsFenced) {
  const auto predecessor = writer();
  commit(*predecessor, one(1));
  const auto successor = writer();
  commit(*successor, one(2));
  const auto outcome = predecessor->commit(one(2).batch);
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().code(), StatusCode::kFenced);
  EXPECT_EQ(predecessor->keep_alive().code(), StatusCode::kUnavailable) << "it is given up";
  EXPECT_EQ(value("SELECT GROUP_CONCAT(id ORDER BY seq) FROM Messages"), "m1,m2");
}

TEST_F(FaultTest, APredecessorIsFencedOnTheSlowPathToo) {
  const auto predecessor = writer();
  TestBatch batch;
  batch.message("a", "one").message("a", "one");
  commit(*predecessor, batch);  // the next batch goes there at once
  writer();
  TestBatch next(3);
  next.message("b", "two");
  EXPECT_EQ(predecessor->commit(next.batch).status().code(), StatusCode::kFenced);
  EXPECT_EQ(value("SELECT COUNT(*) FROM Messages"), "1");
}

TEST_F(FaultTest, OneIsElectedAndItsEndElectsTheNext) {
  auto first = open();
  const auto second = open();
  ASSERT_TRUE(first->elect(milliseconds(0)).ok());
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(second->elect(milliseconds(300)).code(), StatusCode::kTimeout);
  const auto waited = std::chrono::steady_clock::now() - before;
  EXPECT_GE(waited, milliseconds(300));
  EXPECT_LT(waited, seconds(15));
  EXPECT_TRUE(open(other_feed_)->elect(milliseconds(0)).ok()) << "feeds elect separately";
  auto waiting = std::async(std::launch::async, [&] { return second->elect(seconds(20)); });
  first.reset();
  EXPECT_TRUE(waiting.get().ok());
}

TEST_F(FaultTest, AStoppedProcessLosesElectionAndConnection) {
  const auto stopped = writer();
  ASSERT_TRUE(stopped->elect(milliseconds(0)).ok());
  const auto standby = open();
  // This thread is the stopped process: it does nothing while the other one waits.
  const auto before = std::chrono::steady_clock::now();
  ASSERT_TRUE(standby->elect(seconds(60)).ok());
  EXPECT_LE(std::chrono::steady_clock::now() - before, kSessionIdleMax + seconds(15));
  EXPECT_EQ(stopped->commit(one(1).batch).status().code(), StatusCode::kUnavailable);
  ASSERT_TRUE(standby->take_over().has_value());
  EXPECT_EQ(fates(commit(*standby, one(1))), "1 last 1");
}

TEST_F(FaultTest, KeepAliveKeepsASession) {
  const auto catalogue = writer();
  const auto until = std::chrono::steady_clock::now() + kSessionIdleMax + seconds(1);
  while (std::chrono::steady_clock::now() < until) {
    ASSERT_TRUE(catalogue->keep_alive().ok());
    std::this_thread::sleep_for(kKeepAliveInterval);
  }
  EXPECT_EQ(fates(commit(*catalogue, one(1))), "1 last 1");
}

TEST_F(FaultTest, TakeOverWaitsForAnOpenTransaction) {
  commit(*writer(), one(1));
  const auto holder = hold("BEGIN; UPDATE Feeds SET last_seq=5");
  const auto successor = open();
  auto state = std::async(std::launch::async, [&] { return successor->take_over(); });
  ASSERT_TRUE(eventually([&] { return running("SELECT epoch%FOR UPDATE"); }));
  release();  // the server rolls its transaction back
  const auto taken = state.get();
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(taken->last_seq, 1U);
}

TEST_F(FaultTest, ALostConnectionBeforeACommitStoresNothing) {
  const auto catalogue = writer();
  server().sql("KILL " + sessions());
  EXPECT_EQ(catalogue->commit(one(1).batch).status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(value("SELECT COUNT(*) FROM Messages"), "0");
  EXPECT_EQ(fates(commit(*writer(), one(1))), "1 last 1");
}

TEST_F(FaultTest, ALostConnectionWithinATransactionStoresNothing) {
  const auto catalogue = writer();
  const auto holder = hold("BEGIN; UPDATE Feeds SET last_seq=5");
  auto outcome =
      std::async(std::launch::async, [&] { return catalogue->commit(one(1).batch).status(); });
  ASSERT_TRUE(eventually([&] { return running("UPDATE Feeds"); }));
  server().sql("KILL " + sessions());
  EXPECT_EQ(outcome.get().code(), StatusCode::kUnavailable);
  release();
  EXPECT_EQ(fates(commit(*writer(), one(1))), "1 last 1");
}

TEST_F(FaultTest, ALostConnectionDuringCommitIsAnUnknownOutcome) {
  if (server().is_mysql()) {
    GTEST_SKIP() << "MySQL has no statement that holds up commits and nothing else";
  }
  const auto catalogue = writer();
  const auto holder = hold(
      "BACKUP STAGE START; BACKUP STAGE FLUSH; BACKUP STAGE BLOCK_DDL; BACKUP STAGE BLOCK_COMMIT");
  auto outcome =
      std::async(std::launch::async, [&] { return catalogue->commit(one(1).batch).status(); });
  ASSERT_TRUE(eventually([&] { return running("COMMIT"); }));
  server().sql("KILL " + sessions());
  EXPECT_EQ(outcome.get().code(), StatusCode::kUnknownOutcome);
  release();
  const auto state = open()->take_over();
  ASSERT_TRUE(state.has_value());
  EXPECT_EQ(std::to_string(state->last_seq), value("SELECT COUNT(*) FROM Messages"));
}

/// The writer in a process of its own.
class CrashTest : public FaultTest {
 protected:
  static constexpr int kCount = 2000;

  std::unique_ptr<testing::Process> start_writer(testing::MariadbServer& at,
                                                 const std::string& failpoint = "",
                                                 int count = kCount) {
    return std::make_unique<testing::Process>(
        testing::Process::Options{.command = {testing::built_program("storage_crash_writer"),
                                              "127.0.0.1",
                                              std::to_string(at.port()),
                                              config_.user,
                                              config_.password,
                                              config_.database,
                                              std::to_string(count)},
                                  .environment = {{"FEEDVAULT_FAILPOINT", failpoint}},
                                  .output_file = output_.file("writer"),
                                  .working_folder = ""});
  }
  void expect_every_message_once(testing::MariadbServer& at, int count = kCount) {
    EXPECT_EQ(at.value("SELECT COUNT(*),MIN(seq),MAX(seq),SUM(id=CONCAT('m',seq)),"
                       "SUM(data=CONCAT('data of ',seq)) FROM Messages",
                       config_.database),
              std::to_string(count) + "\t1\t" + std::to_string(count) + "\t" +
                  std::to_string(count) + "\t" + std::to_string(count));
    EXPECT_EQ(at.value("SELECT last_seq,stream_seq FROM Feeds", config_.database),
              std::to_string(count) + "\t" + std::to_string(count));
  }
  void kill_at(const std::string& failpoint) {
    for (const char* pass : {"@1", "@7", "@3"}) {
      auto writer = start_writer(server(), failpoint + "=kill" + pass);
      ASSERT_EQ(writer->wait_for_exit(seconds(20)), 128 + SIGKILL) << writer->output();
    }
    auto writer = start_writer(server());
    ASSERT_EQ(writer->wait_for_exit(seconds(30)), 0) << writer->output();
    expect_every_message_once(server());
    EXPECT_EQ(value("SELECT duplicates,quarantined FROM Feeds"), "0\t0");
  }

  testing::TempDir output_;
};

TEST_F(CrashTest, KilledBeforeTheTransaction) {
  kill_at("commit.begin");
}
TEST_F(CrashTest, KilledBeforeCommit) {
  kill_at("commit.inserted");
}
TEST_F(CrashTest, KilledWithCommitOnItsWay) {
  kill_at("commit.sent");
}
TEST_F(CrashTest, KilledAfterCommit) {
  kill_at("commit.done");
}

TEST_F(CrashTest, AWriterThatWasStoppedBeforeCommitCannotCommit) {
  auto stopped = start_writer(server(), "commit.inserted=stop@3");
  ASSERT_TRUE(eventually([&] { return stopped->output().find("failpoint") != std::string::npos; }));
  // Elected only after the stopped one's session, and with it its transaction, has ended.
  auto successor = start_writer(server());
  ASSERT_EQ(successor->wait_for_exit(seconds(30)), 0) << successor->output();
  stopped->send_signal(SIGCONT);
  ASSERT_EQ(stopped->wait_for_exit(seconds(30)), 0) << stopped->output();
  expect_every_message_once(server());
}

TEST_F(CrashTest, TheServerIsKilledAgainAndAgain) {
  constexpr int kMany = 20'000;
  testing::MariadbServer own;
  config_ = own.config();
  const Status migrated = migrate(config_);
  ASSERT_TRUE(migrated.ok()) << migrated.to_string();
  auto writer = start_writer(own, "", kMany);
  const auto stored = [&] {
    return std::stoi("0" + own.value("SELECT last_seq FROM Feeds", config_.database));
  };
  for (int i = 1; i <= 3; ++i) {
    ASSERT_TRUE(eventually([&] { return stored() >= i * kMany / 5; }, seconds(30)));
    own.kill_hard();
    own.start();
  }
  ASSERT_EQ(writer->wait_for_exit(seconds(60)), 0) << writer->output();
  expect_every_message_once(own, kMany);
}

}  // namespace
}  // namespace feedvault::storage
