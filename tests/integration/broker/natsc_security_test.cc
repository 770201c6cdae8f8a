// nats.c and what it may do: credentials and permissions, on our broker and on nats-server.

#include <atomic>
#include <fstream>
#include <string>

#include "base/mutex.h"
#include "tests/integration/broker/natsc.h"
#include "tests/integration/broker/server_program.h"

namespace feedvault::broker::testing {
namespace {

using feedvault::testing::eventually;

// The key whose seed is the bytes 1 to 32.
constexpr const char* kPublicKey = "UB43KVROR7TFJ6KAPCYRF2FJROTZAH4FHLTJLPWX4DRZCC5NASLGJBFE";
constexpr const char* kSeed = "SUAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IC5CQ";

/// Errors that arrive while nobody asks.
class Errors {
 public:
  void watch(natsOptions* options) {
    natsOptions_SetErrorHandler(
        options,
        [](natsConnection* connection, natsSubscription*, natsStatus status, void* self) {
          const char* text = nullptr;
          natsConnection_GetLastError(connection, &text);
          static_cast<Errors*>(self)->add(status, text == nullptr ? "" : text);
        },
        this);
  }
  void add(natsStatus status, const std::string& text) {
    MutexLock lock(mutex_);
    all_ += std::string(natsStatus_GetText(status)) + ": " + text + "\n";
  }
  std::string all() {
    MutexLock lock(mutex_);
    return all_;
  }
  bool contain(const std::string& text) {
    return eventually([&] { return all().find(text) != std::string::npos; });
  }

 private:
  Mutex mutex_;
  std::string all_ GUARDED_BY(mutex_);
};

class NatscSecurity : public ::testing::TestWithParam<ServerKind> {
 protected:
  void start(const std::string& config) {
    server_ = std::make_unique<ServerProgram>(GetParam(), config);
  }
  using Configure = std::function<void(natsOptions*)>;
  natsStatus status_with(const Configure& configure) {
    const NatscOptions options = natsc_options(server_->url());
    configure(options.get());
    natsStatus status = NATS_OK;
    const NatscConnection connection = try_natsc(options.get(), status);
    if (status == NATS_OK) {
      const NatscSubscription inbox = natsc_subscribe(connection, "inside");
      natsc_publish(connection, "inside", "x");
      EXPECT_EQ(payload_of(natsc_next(inbox)), "x");
    }
    return status;
  }
  static Configure as(const char* user, const char* password) {
    return [=](natsOptions* options) { natsOptions_SetUserInfo(options, user, password); };
  }

  std::unique_ptr<ServerProgram> server_;
};
INSTANTIATE_TEST_SUITE_P(On,
                         NatscSecurity,
                         ::testing::Values(ServerKind::kOurs, ServerKind::kReference),
                         [](const auto& each) { return std::string(name_of(each.param)); });

TEST_P(NatscSecurity, UsersNeedTheirPasswords) {
  // Of "hashed", cost 4.
  start(R"(authorization { users: [
    { user: alice, password: wonder }
    { user: bob, password: "$2a$04$abcdefghijklmnopqrstuu369LYjJlegQeGD0CWsjs58fASePKjWq" }
  ] })");
  EXPECT_EQ(status_with(as("alice", "wonder")), NATS_OK);
  EXPECT_EQ(status_with(as("alice", "wander")), NATS_CONNECTION_AUTH_FAILED);
  EXPECT_EQ(status_with(as("bob", "wonder")), NATS_CONNECTION_AUTH_FAILED);
  EXPECT_EQ(status_with(as("bob", "hashed")), NATS_OK);
  EXPECT_EQ(status_with(as("carol", "wonder")), NATS_CONNECTION_AUTH_FAILED);
  EXPECT_EQ(status_with([](natsOptions*) {}), NATS_CONNECTION_AUTH_FAILED);
}

TEST_P(NatscSecurity, TokensAreChecked) {
  start("authorization { token: t0ken }");
  const auto token = [](const char* text) {
    return [=](natsOptions* options) { natsOptions_SetToken(options, text); };
  };
  EXPECT_EQ(status_with(token("t0ken")), NATS_OK);
  EXPECT_EQ(status_with(token("token")), NATS_CONNECTION_AUTH_FAILED);
  EXPECT_EQ(status_with(as("alice", "t0ken")), NATS_CONNECTION_AUTH_FAILED);
}

TEST_P(NatscSecurity, NkeysSignTheNonce) {
  start(std::string("authorization { users: [ { nkey: ") + kPublicKey + " } ] }");
  const auto signs = [](const char* seed) {
    return [=](natsOptions* options) {
      natsOptions_SetNKey(
          options,
          kPublicKey,
          [](char** error, unsigned char** signature, int* length, const char* nonce, void* with) {
            *error = nullptr;
            return nats_Sign(static_cast<const char*>(with), nonce, signature, length);
          },
          const_cast<char*>(seed));
    };
  };
  EXPECT_EQ(status_with(signs(kSeed)), NATS_OK);
  // A seed of somebody else: its signature is well-formed, and not the right one.
  EXPECT_EQ(status_with(signs("SUAAEAYEAUDAOCAJBIFQYDIOB4IBCEQTCQKRMFYYDENBWHA5DYPSAIOM6Y")),
            NATS_CONNECTION_AUTH_FAILED);
  EXPECT_EQ(status_with(as("alice", "x")), NATS_CONNECTION_AUTH_FAILED);
}

TEST_P(NatscSecurity, PermissionsViolationsAreToldAndTheConnectionStays) {
  start(R"(authorization { users: [ { user: alice, password: wonder, permissions: {
    publish: { allow: ["out.>", "_INBOX.>"], deny: "out.secret" }
    subscribe: { allow: ["in.>", "in.shared workers", "_INBOX.>"], deny: ["in.secret"] }
  } } ] })");
  const NatscOptions options = natsc_options(server_->url());
  as("alice", "wonder")(options.get());
  Errors errors;
  errors.watch(options.get());
  const NatscConnection alice = natsc_connect(options.get());
  natsc_publish(alice, "elsewhere", "x");
  EXPECT_TRUE(errors.contain("Permissions Violation for Publish to \"elsewhere\""));
  natsc_publish(alice, "out.secret", "x");
  EXPECT_TRUE(errors.contain("Permissions Violation for Publish to \"out.secret\""));
  const NatscSubscription secret = natsc_subscribe(alice, "in.secret");
  EXPECT_TRUE(errors.contain("Permissions Violation for Subscription to \"in.secret\""));
  const NatscSubscription foreign = natsc_subscribe(alice, "foreign", "workers");
  EXPECT_TRUE(errors.contain(
      "Permissions Violation for Subscription to \"foreign\" using queue \"workers\""));
  const NatscSubscription allowed = natsc_subscribe(alice, "in.shared", "workers");
  natsc_publish(alice, "out.ok", "x");
  EXPECT_EQ(natsConnection_Flush(alice.get()), NATS_OK);
  EXPECT_EQ(natsConnection_Status(alice.get()), NATS_CONN_STATUS_CONNECTED);
}

TEST_P(NatscSecurity, AResponderMayAnswerWhereItMayNotPublish) {
  start(R"(authorization { users: [
    { user: asker, password: a }
    { user: service, password: s, permissions: {
      subscribe: "questions", publish: { deny: ">" }, allow_responses: { max: 1, expires: "1m" } } }
  ] })");
  const NatscOptions service_options = natsc_options(server_->url());
  as("service", "s")(service_options.get());
  const NatscConnection service = natsc_connect(service_options.get());
  const NatscService answers(service, "questions", [](const std::string& q) { return q + "!"; });
  const NatscOptions asker_options = natsc_options(server_->url());
  as("asker", "a")(asker_options.get());
  const NatscConnection asker = natsc_connect(asker_options.get());
  natsMsg* answer = nullptr;
  ASSERT_EQ(natsConnection_RequestString(&answer, asker.get(), "questions", "why", 5000), NATS_OK);
  EXPECT_EQ(payload_of(NatscMessage(answer)), "why!");
}

TEST_P(NatscSecurity, NobodyStaysWhoIsRefusedAfterARestart) {
  start("authorization { user: alice, password: wonder }");
  const NatscOptions options = natsc_options(server_->url());
  as("alice", "wonder")(options.get());
  natsOptions_SetMaxReconnect(options.get(), 1000);
  std::atomic<bool> closed{false};
  natsOptions_SetClosedCB(
      options.get(),
      [](natsConnection*, void* flag) { *static_cast<std::atomic<bool>*>(flag) = true; },
      &closed);
  const NatscConnection alice = natsc_connect(options.get());
  server_->kill_hard();
  server_->reconfigure("authorization { user: alice, password: changed }");
  server_->start();
  // nats.c gives up at the second refusal: so it must recognise them.
  EXPECT_TRUE(eventually([&] { return closed.load(); }));
  const char* text = nullptr;
  EXPECT_EQ(natsConnection_GetLastError(alice.get(), &text), NATS_CONNECTION_AUTH_FAILED);
}

}  // namespace
}  // namespace feedvault::broker::testing
