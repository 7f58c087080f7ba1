namespace Librarian.Durable.Stores;

/// <summary>
/// A write depended on ownership that was lost: another worker owns the row, or the row was replaced. The transaction was rolled back.
/// </summary>
internal sealed class FenceException(string message, Exception? cause = null) : Exception("Ownership lost: " + message, cause)
{
    /// <summary>
    /// A statement hit a different number of rows than ownership requires (docs/spec/durable-engine.md#r2-ownership-fence).
    /// </summary>
    public static FenceException RowsMissed(SqlStatement statement, string hit, Exception? cause = null) =>
        new($"a statement should have hit {statement.ExpectedRows} rows and hit {hit}: {statement.Text}", cause);

    /// <summary>The history already has rows at these positions: another turn of the same execution was committed.</summary>
    public static FenceException HistoryTaken(Exception cause) => new("the history has moved on", cause);
}
