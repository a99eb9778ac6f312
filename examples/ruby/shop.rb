# frozen_string_literal: true

# Hands a failure to retryd, over its SQL functions alone.
#
#   ruby shop.rb 17

require "json"
require "pg"

# --8<-- [start:capture]
# Writes an invoice and what failed about it in one transaction: both are kept, or neither.
def capture(connection, number)
  connection.transaction do
    connection.exec_params("insert into invoice (number, state) values ($1, 'unsent')", [number])
    rows = connection.exec_params(<<~SQL, [JSON.generate(invoice: number), "invoice-#{number}"])
      select retryd.capture_failure('invoice.email.failed', $1::jsonb, event_id => $2,
          error_type => 'SMTPError', error_message => 'the mail server does not answer')
    SQL
    rows.column_values(0)
  end
end
# --8<-- [end:capture]

connection = PG.connect(ENV.fetch("DATABASE_URL"))
puts capture(connection, Integer(ARGV.fetch(0)))
connection.close
