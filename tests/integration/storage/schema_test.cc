#include <thread>

#include "tests/integration/storage/fixture.h"

namespace feedvault::storage {
namespace {

/// Without the fixture's migrated database.
class SchemaTest : public StorageTest {
 protected:
  void SetUp() override {
    config_ = server().config();
    feed_.name = "events";
    feed_.number = 1;
  }
  std::string as_service(const std::string& sql) {
    const testing::Finished finished = testing::run({"mariadb",
                                                     "--no-defaults",
                                                     "--host=127.0.0.1",
                                                     "--port=" + std::to_string(config_.port),
                                                     "--user=" + config_.user,
                                                     "--password=" + config_.password,
                                                     "--execute=" + sql,
                                                     config_.database});
    return finished.exit_code == 0 ? "ok" : finished.output;
  }
  static bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
  }
};

TEST_F(SchemaTest, MakesTheDatabaseAndIsIdempotent) {
  for (int i = 0; i < 3; ++i) {
    const Status status = migrate(config_);
    ASSERT_TRUE(status.ok()) << status.to_string();
  }
  EXPECT_EQ(value("SELECT version,name FROM schema_migrations ORDER BY version"),
            "1\t0001_catalogue\n2\t0002_views");
  EXPECT_EQ(value("SELECT COUNT(*) FROM Events") + value("SELECT COUNT(*) FROM Executions"), "00");
}

TEST_F(SchemaTest, ControllersMayStartAtOnce) {
  std::vector<Status> statuses(6);
  std::vector<std::thread> threads;
  threads.reserve(statuses.size());
  for (Status& status : statuses) {
    threads.emplace_back([&] { status = migrate(config_); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const Status& status : statuses) {
    EXPECT_TRUE(status.ok()) << status.to_string();
  }
  EXPECT_EQ(value("SELECT COUNT(*) FROM schema_migrations"), "2");
}

TEST_F(SchemaTest, FinishesAMigrationThatDiedHalfWay) {
  ASSERT_TRUE(migrate(config_).ok());
  // What a crash before the migration was recorded leaves behind: part of its tables.
  server().sql("DROP TABLE Gaps; DROP TABLE Quarantine; DELETE FROM schema_migrations",
               config_.database);
  const Status status = migrate(config_);
  ASSERT_TRUE(status.ok()) << status.to_string();
  EXPECT_EQ(value("SELECT COUNT(*) FROM Gaps"), "0");
}

TEST_F(SchemaTest, RefusesANewerSchema) {
  ASSERT_TRUE(migrate(config_).ok());
  server().sql("INSERT INTO schema_migrations VALUES (99,'0099_future','1',NOW(6))",
               config_.database);
  const auto catalogue = Catalogue::open(config_, feed_);
  ASSERT_FALSE(catalogue.has_value());
  for (const Status& status : {migrate(config_), catalogue.status()}) {
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_TRUE(contains(status.message(), "has version 99, newer than")) << status.to_string();
    EXPECT_TRUE(contains(status.message(), "install the newer Feedvault")) << status.to_string();
  }
}

TEST_F(SchemaTest, RefusesAMigrationThatWasAnother) {
  ASSERT_TRUE(migrate(config_).ok());
  server().sql("UPDATE schema_migrations SET checksum='1' WHERE version=2", config_.database);
  const Status status = migrate(config_);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(contains(status.message(), "0002_views")) << status.to_string();
}

TEST_F(SchemaTest, AnOlderSchemaNamesTheRemedy) {
  ASSERT_TRUE(migrate(config_).ok());
  server().sql("DELETE FROM schema_migrations WHERE version=2", config_.database);
  const auto catalogue = Catalogue::open(config_, feed_);
  ASSERT_FALSE(catalogue.has_value());
  EXPECT_EQ(catalogue.error().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(contains(catalogue.error().message(), "start this version's feedvault-controller"))
      << catalogue.error().to_string();
}

TEST_F(SchemaTest, TheServiceUserMayDoWhatItNeedsAndNoMore) {
  ASSERT_TRUE(migrate(config_).ok());
  const auto catalogue = writer();
  TestBatch batch;
  batch.message("a", "one").bad("b", "two", "bad").gap(3, 4);
  commit(*catalogue, batch);
  for (const char* table :
       {"Messages", "Feeds", "Quarantine", "Gaps", "Events", "Executions", "schema_migrations"}) {
    EXPECT_EQ(as_service(std::string("SELECT * FROM ") + table), "ok");
  }
  for (const char* forbidden : {"UPDATE Messages SET data=''",
                                "DELETE FROM Messages",
                                "DELETE FROM Quarantine",
                                "DELETE FROM Feeds",
                                "UPDATE Gaps SET reason=''",
                                "TRUNCATE TABLE Messages",
                                "DROP TABLE Messages",
                                "ALTER TABLE Messages ADD x INT",
                                "CREATE TABLE x (x INT)",
                                "INSERT INTO schema_migrations VALUES (3,'x','x',NOW(6))",
                                "DROP VIEW Events",
                                "CREATE DATABASE other_one"}) {
    const std::string answer = as_service(forbidden);
    EXPECT_TRUE(contains(answer, "denied")) << forbidden << ": " << answer;
  }
}

TEST_F(SchemaTest, OneUserCanDoWithoutASchemaUser) {
  config_.user = config_.schema_user;
  config_.password = config_.schema_password;
  config_.schema_user.clear();
  ASSERT_TRUE(migrate(config_).ok());
  TestBatch batch;
  batch.message("a", "one");
  EXPECT_EQ(fates(commit(*writer(), batch)), "1 last 1");
}

TEST_F(SchemaTest, TellsWhatIsWrongWithTheConfiguration) {
  const auto open_error = [&](const MysqlConfig& config) {
    const auto catalogue = Catalogue::open(config, feed_);
    return catalogue.has_value() ? Status() : catalogue.error();
  };
  const Status no_database = open_error(config_);
  EXPECT_EQ(no_database.code(), StatusCode::kInvalidArgument);

  ASSERT_TRUE(migrate(config_).ok());
  MysqlConfig wrong = config_;
  wrong.password = "wrong";
  for (const Status& status : {open_error(wrong), migrate(wrong)}) {
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_TRUE(contains(status.message(), "check [mysql] user and password"))
        << status.to_string();
    EXPECT_FALSE(contains(status.message(), "wrong")) << "a secret: " << status.to_string();
  }
  wrong = config_;
  wrong.port = testing::free_port();
  EXPECT_EQ(open_error(wrong).code(), StatusCode::kUnavailable);
  EXPECT_TRUE(contains(open_error(wrong).message(), "127.0.0.1:" + std::to_string(wrong.port)));
  wrong = config_;
  wrong.schema_user = config_.user;  // no rights to make anything
  wrong.schema_password = config_.password;
  wrong.database = "elsewhere";
  EXPECT_EQ(migrate(wrong).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(contains(migrate(wrong).message(), "denied")) << migrate(wrong).to_string();

  server().sql("CREATE DATABASE empty_one; GRANT SELECT ON empty_one.* TO '" + config_.user +
               "'@'%'");
  wrong = config_;
  wrong.database = "empty_one";
  const Status empty = open_error(wrong);
  EXPECT_EQ(empty.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(contains(empty.message(), "start feedvault-controller")) << empty.to_string();
  server().sql("DROP DATABASE empty_one");
}

TEST_F(SchemaTest, AFeedKeepsItsNumber) {
  ASSERT_TRUE(migrate(config_).ok());
  writer();
  FeedConfig renamed = feed_;
  renamed.name = "something else";
  const auto state = open(renamed)->take_over();
  ASSERT_FALSE(state.has_value());
  EXPECT_EQ(state.error().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(contains(state.error().message(), "belongs to the feed 'events'"));
  FeedConfig renumbered = feed_;
  renumbered.number = 9;
  EXPECT_EQ(open(renumbered)->take_over().status().code(), StatusCode::kInvalidArgument);
}

TEST_F(SchemaTest, ConnectsThroughTheSocket) {
  config_.host = "no such host";
  config_.socket = server().socket();
  const Status status = migrate(config_);
  ASSERT_TRUE(status.ok()) << status.to_string();
  EXPECT_TRUE(Catalogue::open(config_, feed_).has_value());
}

TEST_F(SchemaTest, ConnectsWithoutTls) {
  config_.tls = "off";  // MySQL's default authentication then asks for the server's public key
  const Status status = migrate(config_);
  ASSERT_TRUE(status.ok()) << status.to_string();
  EXPECT_TRUE(Catalogue::open(config_, feed_).has_value());
}

TEST_F(SchemaTest, RequiredTlsRefusesAServerThatCannotBeVerified) {
  ASSERT_TRUE(migrate(config_).ok());
  config_.tls = "required";
  const auto catalogue = Catalogue::open(config_, feed_);
  ASSERT_FALSE(catalogue.has_value());
  EXPECT_EQ(catalogue.error().code(), StatusCode::kInvalidArgument)
      << catalogue.error().to_string();
  EXPECT_TRUE(contains(catalogue.error().message(), "check [mysql] tls"))
      << catalogue.error().to_string();
}

TEST_F(SchemaTest, ViewsGiveTheFieldsTypes) {
  ASSERT_TRUE(migrate(config_).ok());
  FeedConfig executions;
  executions.name = "executions";
  executions.number = 2;
  TestBatch event;
  event.message("a", "x", R"({"sport":"GOLF","matchTitle":"Ünï \"Cup\"","dataEvent":"birdie"})");
  commit(*writer(), event);
  TestBatch execution;
  execution.message("a",
                    "x",
                    R"({"symbol":"ABC","market":"XNYS","price":10.25,"quantity":"NaN",)"
                    R"("executionEpoch":"1760000000123","stateSymbol":"NY"})");
  commit(*writer(executions), execution);
  EXPECT_EQ(value("SELECT seq,id,sport,match_title,data_event FROM Events"),
            "1\ta\tGOLF\tÜnï \"Cup\"\tbirdie");
  EXPECT_EQ(value("SELECT symbol,market,price*2,quantity,execution_epoch+1,state_symbol "
                  "FROM Executions WHERE price > 10 AND execution_epoch > 5"),
            "ABC\tXNYS\t20.5\tNULL\t1760000000124\tNY");
}

}  // namespace
}  // namespace feedvault::storage
