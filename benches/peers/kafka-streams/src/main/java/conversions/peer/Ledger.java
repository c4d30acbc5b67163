package conversions.peer;

import conversions.Account;
import conversions.AccountState;
import conversions.BalanceChanged;
import conversions.LedgerEntry;
import java.math.BigInteger;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Keeps the balances of affiliates' accounts. */
final class Ledger implements Processor<String, SpecificRecord, String, SpecificRecord> {
  static final String STORE = "accounts";

  private ProcessorContext<String, SpecificRecord> context;
  private KeyValueStore<String, AccountState> accounts;

  @Override
  public void init(ProcessorContext<String, SpecificRecord> context) {
    this.context = context;
    accounts = context.getStateStore(STORE);
  }

  @Override
  public void process(Record<String, SpecificRecord> record) {
    LedgerEntry entry = (LedgerEntry) record.value();
    book(record.key(), entry, entry.getDebit(), -entry.getAmountMinor());
    book(record.key(), entry, entry.getCredit(), entry.getAmountMinor());
  }

  private void book(String ledger, LedgerEntry entry, Account account, long change) {
    String key = ledger + '/' + account;
    AccountState state = accounts.get(key);
    state = state == null ? new AccountState("0", 0L) : state;
    state.setBalanceMinor(new BigInteger(state.getBalanceMinor()).add(BigInteger.valueOf(change)).toString());
    state.setEntries(state.getEntries() + 1);
    accounts.put(key, state);
    BalanceChanged changed = new BalanceChanged(
        entry.getAffiliateId(), entry.getCurrency(), entry.getLivemode(), account, state.getBalanceMinor(), state.getEntries(),
        entry.getEntryId(), entry.getAt());
    context.forward(new Record<>(key, (SpecificRecord) changed, entry.getAt()));
  }
}
