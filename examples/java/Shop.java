// Hands a failure to retryd, over its SQL functions alone.
//
//   java -cp postgresql.jar Shop.java 17

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;

public class Shop {
    // --8<-- [start:capture]
    /** Writes an invoice and what failed about it in one transaction: both are kept, or neither. */
    static List<Long> capture(Connection connection, int number) throws SQLException {
        connection.setAutoCommit(false);
        try (var insert = connection.prepareStatement(
                     "insert into invoice (number, state) values (?, 'unsent')");
             var call = connection.prepareStatement("""
                     select retryd.capture_failure('invoice.email.failed', ?::jsonb, event_id => ?,
                         error_type => 'SMTPError', error_message => 'the mail server does not answer')""")) {
            insert.setInt(1, number);
            insert.executeUpdate();
            call.setString(1, "{\"invoice\": %d}".formatted(number));
            call.setString(2, "invoice-" + number);
            var ids = new ArrayList<Long>();
            try (var rows = call.executeQuery()) {
                while (rows.next()) {
                    ids.add(rows.getLong(1));
                }
            }
            connection.commit();
            return ids;
        } catch (SQLException error) {
            connection.rollback();
            throw error;
        }
    }
    // --8<-- [end:capture]

    public static void main(String[] arguments) throws SQLException {
        try (var connection = DriverManager.getConnection(System.getenv("JDBC_DATABASE_URL"))) {
            capture(connection, Integer.parseInt(arguments[0])).forEach(System.out::println);
        }
    }
}
