using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;

namespace Librarian.Domain.Errors;

/// <summary>Result of a request to clear an error.</summary>
public enum ClearOutcome
{
    Cleared,

    /// <summary>No such error.</summary>
    Unknown,

    /// <summary>It had been cleared before.</summary>
    AlreadyCleared,
}

/// <summary>
/// The log of errors that need a person or a later attempt (docs/spec/wire.md#search-error). A recurring error has one entry until somebody
/// clears it, so that weeks of retries do not bury the rest.
/// </summary>
public sealed class ErrorLog(CatalogDatabase database, TimeProvider time, ILogger<ErrorLog> log)
{
    private const int MaxMessage = 4000;

    /// <summary>Records an error unless it is open already.</summary>
    /// <param name="severity">How grave.</param>
    /// <param name="category">What about.</param>
    /// <param name="caller">What raised it, and about what. Category and caller are the error key.</param>
    /// <param name="message">What happened, what was not lost, and what to do next.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <remarks>
    /// Two processes that record the same error at the same moment make two entries, which is harmless. A database failure is only logged:
    /// the caller still has to answer for the error that it met.
    /// </remarks>
    public async Task RaiseAsync(
        ErrorSeverity severity,
        ErrorCategory category,
        string caller,
        string message,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(caller);
        ArgumentNullException.ThrowIfNull(message);
        caller = Short(caller);
        message = Text(message);
        try
        {
            await using var db = database.Open();
            if (await db.Errors.AnyAsync(e => !e.Cleared && e.Category == category && e.Caller == caller, cancellationToken))
                return;
            db.Errors.Add(
                new ErrorRecord
                {
                    Severity = severity,
                    Category = category,
                    Caller = caller,
                    Message = message,
                    RaisedTime = time.GetUtcNow().UtcDateTime,
                }
            );
            await db.SaveChangesAsync(cancellationToken);
        }
        catch (Exception fault) when (CatalogDatabase.IsDatabaseFailure(fault))
        {
            Logs.NotRecorded(log, fault, caller, message);
        }
    }

    /// <summary>
    /// Like <see cref="RaiseAsync"/>, but an open entry gets the new message, because a person must read what is missing now.
    /// </summary>
    /// <param name="severity">How grave.</param>
    /// <param name="category">What about.</param>
    /// <param name="caller">What raised it, and about what.</param>
    /// <param name="message">What happened, what was not lost, and what to do next.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task RenewAsync(
        ErrorSeverity severity,
        ErrorCategory category,
        string caller,
        string message,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(caller);
        ArgumentNullException.ThrowIfNull(message);
        var key = Short(caller);
        var text = Text(message);
        try
        {
            await using var db = database.Open();
            if (
                await db
                    .Errors.Where(e => !e.Cleared && e.Category == category && e.Caller == key && e.Message != text)
                    .ExecuteUpdateAsync(s => s.SetProperty(e => e.Message, text), cancellationToken) > 0
            )
                return;
        }
        catch (Exception fault) when (CatalogDatabase.IsDatabaseFailure(fault))
        {
            Logs.NotRecorded(log, fault, caller, message);
            return;
        }

        await RaiseAsync(severity, category, caller, message, cancellationToken);
    }

    /// <summary>Clears the open errors of a caller because their cause has gone.</summary>
    /// <param name="caller">As given to <see cref="RaiseAsync"/>.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task SettleAsync(string caller, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(caller);
        caller = Short(caller);
        var now = time.GetUtcNow().UtcDateTime;
        try
        {
            await using var db = database.Open();
            await db
                .Errors.Where(e => !e.Cleared && e.Caller == caller)
                .ExecuteUpdateAsync(s => s.SetProperty(e => e.Cleared, true).SetProperty(e => e.ClearedTime, now), cancellationToken);
        }
        catch (Exception fault) when (CatalogDatabase.IsDatabaseFailure(fault))
        {
            Logs.NotSettled(log, fault, caller);
        }
    }

    /// <summary>People read messages in mails and on terminals, and a message may hold the name of any file.</summary>
    private static string Text(string message) => message.Shown() is { Length: > MaxMessage } shown ? shown[..MaxMessage] : message.Shown();

    private static string Short(string caller) =>
        caller.Shown() is { Length: > CatalogContext.MaxText } shown ? shown[..CatalogContext.MaxText] : caller.Shown();

    /// <summary>Clears an error for a person.</summary>
    public async Task<(ClearOutcome Outcome, DateTime At)> ClearAsync(long id, CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow().UtcDateTime;
        await using var db = database.Open();
        var changed = await db
            .Errors.Where(e => e.Id == id && !e.Cleared)
            .ExecuteUpdateAsync(s => s.SetProperty(e => e.Cleared, true).SetProperty(e => e.ClearedTime, now), cancellationToken);
        if (changed > 0)
            return (ClearOutcome.Cleared, now);
        return (await db.Errors.AnyAsync(e => e.Id == id, cancellationToken) ? ClearOutcome.AlreadyCleared : ClearOutcome.Unknown, now);
    }
}
