using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;

namespace Librarian.Domain.Errors;

/// <summary>What became of a request to clear an error.</summary>
public enum ClearOutcome
{
    /// <summary>Cleared now.</summary>
    Cleared,

    /// <summary>There is no such error.</summary>
    Unknown,

    /// <summary>Somebody had cleared it before.</summary>
    AlreadyCleared,
}

/// <summary>
/// What went wrong here and needs a person or a later look (wire.md §6.4.2). One thing that fails again and again is one entry until
/// somebody clears it: retries for weeks must not bury the rest.
/// </summary>
public sealed class ErrorLog(CatalogDatabase database, TimeProvider time, ILogger<ErrorLog> log)
{
    private const int MaxMessage = 4000;

    /// <summary>Records an error unless the same one is open already.</summary>
    /// <param name="severity">How grave.</param>
    /// <param name="category">What about.</param>
    /// <param name="caller">What raised it and about what; category and caller tell whether two errors are the same.</param>
    /// <param name="message">What happened, what was not lost, and what to do next.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <remarks>
    /// Two processes that record one error in the same moment make two entries, which harms nobody. A fault of the database is not passed
    /// on: the work that met the error has its own answer to give.
    /// </remarks>
    public async Task RaiseAsync(ErrorSeverity severity, ErrorCategory category, string caller, string message, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(caller);
        ArgumentNullException.ThrowIfNull(message);
        caller = caller.Length > CatalogContext.MaxText ? caller[..CatalogContext.MaxText] : caller;
        try
        {
            await using var db = database.Open();
            if (await db.Errors.AnyAsync(e => !e.Cleared && e.Category == category && e.Caller == caller, cancellationToken)) return;
            db.Errors.Add(new ErrorRecord
            {
                Severity = severity,
                Category = category,
                Caller = caller,
                Message = message.Length > MaxMessage ? message[..MaxMessage] : message,
                RaisedTime = time.GetUtcNow().UtcDateTime,
            });
            await db.SaveChangesAsync(cancellationToken);
        }
        catch (Exception fault) when (CatalogDatabase.IsDatabaseFailure(fault))
        {
            Logs.NotRecorded(log, fault, caller, message);
        }
    }

    /// <summary>Marks what is open about a matter as dealt with, because the matter has ended by itself.</summary>
    /// <param name="caller">As given to <see cref="RaiseAsync"/>.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task SettleAsync(string caller, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(caller);
        caller = caller.Length > CatalogContext.MaxText ? caller[..CatalogContext.MaxText] : caller;
        var now = time.GetUtcNow().UtcDateTime;
        try
        {
            await using var db = database.Open();
            await db.Errors.Where(e => !e.Cleared && e.Caller == caller)
                .ExecuteUpdateAsync(s => s.SetProperty(e => e.Cleared, true).SetProperty(e => e.ClearedTime, now), cancellationToken);
        }
        catch (Exception fault) when (CatalogDatabase.IsDatabaseFailure(fault))
        {
            Logs.NotSettled(log, fault, caller);
        }
    }

    /// <summary>Marks an error as dealt with.</summary>
    public async Task<(ClearOutcome Outcome, DateTime At)> ClearAsync(long id, CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow().UtcDateTime;
        await using var db = database.Open();
        var changed = await db.Errors.Where(e => e.Id == id && !e.Cleared)
            .ExecuteUpdateAsync(s => s.SetProperty(e => e.Cleared, true).SetProperty(e => e.ClearedTime, now), cancellationToken);
        if (changed > 0) return (ClearOutcome.Cleared, now);
        return (await db.Errors.AnyAsync(e => e.Id == id, cancellationToken) ? ClearOutcome.AlreadyCleared : ClearOutcome.Unknown, now);
    }
}

/// <summary>Log lines of the error log; event ids 2200 to 2209.</summary>
internal static partial class Logs
{
    [LoggerMessage(2200, LogLevel.Error, "An error could not be recorded in the catalog: {Caller}: {Message}")]
    public static partial void NotRecorded(ILogger logger, Exception exception, string caller, string message);

    [LoggerMessage(2201, LogLevel.Warning, "Errors about {Caller} have ended but could not be marked so; the next success does it")]
    public static partial void NotSettled(ILogger logger, Exception exception, string caller);
}
