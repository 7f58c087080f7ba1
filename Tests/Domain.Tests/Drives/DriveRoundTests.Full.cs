using System.Data.Common;
using Librarian.Domain.Catalog;
using Librarian.Domain.Drives;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace Librarian.Tests.Domain.Drives;

/// <summary>When a drive is full, and when it is not.</summary>
public partial class DriveRoundTests
{
    private const int SmallDrive = 8;

    [Theory, MemberData(nameof(Kinds))]
    public async Task Fill_FileArrivesBetweenTwoStatements_IsNotFull(DatabaseKind kind)
    {
        var between = new BetweenStatements();
        using var fixture = await Fixture.CreateAsync(kind, server, driveMegabytes: SmallDrive, interceptors: between);
        await fixture.KeepAsync("obs/there", size: 3_000_000);
        Assert.Equal(FillOutcome.More, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome);
        await fixture.KeepAsync("obs/waits", size: 6_000_000);

        // The round has found nothing that fits, and has not yet asked why.
        between.Before(statement: 2, () => fixture.KeepAsync("obs/small"));
        var round = await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default);

        Assert.True(between.Happened);
        Assert.Equal(FillOutcome.More, round.Outcome);
        Assert.Equal(FillOutcome.More, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome);
        Assert.Equal(["obs/small", "obs/there"], await fixture.OnDriveAsync());
        Assert.Equal(FillOutcome.Full, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome);
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Fill_FileLargerThanTheDrive_DoesNotCountAndIsReported(DatabaseKind kind)
    {
        using var fixture = await Fixture.CreateAsync(kind, server, driveMegabytes: SmallDrive);
        await fixture.KeepAsync("obs/huge", size: 9_000_000);
        await fixture.KeepAsync("obs/1");
        Assert.Equal(FillOutcome.More, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome);

        var round = await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default);

        Assert.Equal(FillOutcome.Trouble, round.Outcome);
        Assert.Contains(
            "'obs/huge' of 9000000 bytes does not fit on drive 'd1' even when it is empty",
            round.Message,
            StringComparison.Ordinal
        );
        await fixture.KeepAsync("obs/2");
        Assert.Equal(FillOutcome.More, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome);
        Assert.Equal(["obs/1", "obs/2"], await fixture.OnDriveAsync());
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Fill_WhatFitsAnEmptyDriveWaitsBesideWhatFitsNone_IsFull(DatabaseKind kind)
    {
        using var fixture = await Fixture.CreateAsync(kind, server, driveMegabytes: SmallDrive);
        await fixture.KeepAsync("obs/huge", size: 9_000_000);
        await fixture.KeepAsync("obs/there", size: 4_000_000);
        Assert.Equal(FillOutcome.More, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome);
        await fixture.KeepAsync("obs/waits", size: 5_000_000);

        Assert.Equal(FillOutcome.Full, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome);
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Fill_DirectoryThatNeedsMoreThanTheDriveHas_IsNotFull(DatabaseKind kind)
    {
        using var fixture = await Fixture.CreateAsync(kind, server, driveMegabytes: SmallDrive);
        await fixture.KeepAsync("obs/1");
        Assert.Equal(FillOutcome.More, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome);
        // 25 kB in blocks of 4 kB are 10 MB.
        await fixture.KeepAsync("obs/many", [.. Enumerable.Range(0, 2500).Select(i => $"{i}")]);

        var round = await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default);

        Assert.Equal(FillOutcome.Trouble, round.Outcome);
        Assert.Contains("'obs/many'", round.Message, StringComparison.Ordinal);
        await fixture.KeepAsync("obs/2");
        Assert.Equal(FillOutcome.More, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome);
        Assert.Equal(["obs/1", "obs/2"], await fixture.OnDriveAsync());
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Fill_RestNotedWhileTheClockWasAhead_IsOver(DatabaseKind kind)
    {
        using var fixture = await Fixture.CreateAsync(kind, server);
        await fixture.KeepAsync("obs/1");
        await using var db = fixture.Source.Database.Open();
        db.DriveContents.Add(
            new DriveContent
            {
                DriveRow = fixture.Drive.Id,
                FileName = "obs/1",
                Destination = "archive",
                State = DriveContentState.Failed,
                AdditionId = Guid.NewGuid(),
                Size = 10,
                RetryAfter = DateTime.UtcNow.AddYears(1),
            }
        );
        await db.SaveChangesAsync();

        Assert.Equal(FillOutcome.More, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome);
        Assert.Equal(["obs/1"], await fixture.OnDriveAsync());
    }

    /// <summary>Lets something happen before one of the questions for what waits.</summary>
    private sealed class BetweenStatements : DbCommandInterceptor
    {
        private Func<Task>? _happen;
        private int _left;

        public bool Happened { get; private set; }

        public void Before(int statement, Func<Task> happen) => (_left, _happen) = (statement, happen);

        public override async ValueTask<InterceptionResult<DbDataReader>> ReaderExecutingAsync(
            DbCommand command,
            CommandEventData eventData,
            InterceptionResult<DbDataReader> result,
            CancellationToken cancellationToken = default
        )
        {
            var text = command.CommandText;
            if (
                _happen is { } happen
                && text.StartsWith("SELECT", StringComparison.OrdinalIgnoreCase)
                && text.Contains("remote_instances", StringComparison.Ordinal)
                && text.Contains("drive_contents", StringComparison.Ordinal)
                && --_left == 0
            )
            {
                _happen = null;
                await happen();
                Happened = true;
            }

            return result;
        }
    }
}
