using System.Data.Common;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace Librarian.Tests.Domain.Catalog;

/// <summary>Counts the statements that reach a catalog.</summary>
internal sealed class StatementCounter : DbCommandInterceptor
{
    private int _count;

    /// <summary>Returns the count and begins anew.</summary>
    public int Reset() => Interlocked.Exchange(ref _count, 0);

    public override ValueTask<InterceptionResult<DbDataReader>> ReaderExecutingAsync(
        DbCommand command,
        CommandEventData eventData,
        InterceptionResult<DbDataReader> result,
        CancellationToken cancellationToken = default
    )
    {
        Interlocked.Increment(ref _count);
        return ValueTask.FromResult(result);
    }

    public override ValueTask<InterceptionResult<int>> NonQueryExecutingAsync(
        DbCommand command,
        CommandEventData eventData,
        InterceptionResult<int> result,
        CancellationToken cancellationToken = default
    )
    {
        Interlocked.Increment(ref _count);
        return ValueTask.FromResult(result);
    }
}
