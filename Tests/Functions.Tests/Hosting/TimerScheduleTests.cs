using System.Globalization;
using Librarian.Functions.Hosting;
using Librarian.Tests.TestKit;
using Microsoft.Extensions.Configuration;

namespace Librarian.Tests.Functions.Hosting;

[Quick]
public sealed class TimerScheduleTests
{
    private static readonly TimeZoneInfo Berlin = TimeZoneInfo.FindSystemTimeZoneById("Europe/Berlin");

    [Theory]
    [InlineData("0 */5 * * * *", "2026-03-01T12:01:00Z", "2026-03-01T12:05:00Z")]
    [InlineData("0 */5 * * * *", "2026-03-01T12:05:00Z", "2026-03-01T12:10:00Z")]
    [InlineData("0 */5 * * * *", "2026-03-01T12:04:59.999Z", "2026-03-01T12:05:00Z")]
    [InlineData("*/5 * * * *", "2026-03-01T12:01:00Z", "2026-03-01T12:05:00Z")]
    [InlineData("0 30 2 * * Mon", "2026-03-01T12:00:00Z", "2026-03-02T02:30:00Z")]
    [InlineData("00:00:20", "2026-03-01T12:00:01.5Z", "2026-03-01T12:00:21.5Z")]
    [InlineData("1.00:00:00", "2026-03-01T12:00:00Z", "2026-03-02T12:00:00Z")]
    [InlineData("0 0 0 29 2 *", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z")]
    public void NextAfter_Utc_IsTheFirstLaterOccurrence(string text, string after, string expected) =>
        Assert.Equal(At(expected), Parse(text).NextAfter(At(after), TimeZoneInfo.Utc));

    [Theory]
    // Local winter time is UTC+1, summer time UTC+2; the changes of 2026 are 29 March 01:00Z and 25 October 01:00Z.
    [InlineData("0 0 6 * * *", "2026-01-10T12:00:00Z", "2026-01-11T05:00:00Z")]
    [InlineData("0 0 6 * * *", "2026-03-28T12:00:00Z", "2026-03-29T04:00:00Z")]
    [InlineData("0 30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z")] // 02:30 does not exist: at the change
    [InlineData("0 30 2 * * *", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z")]
    [InlineData("0 */30 * * * *", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z")]
    [InlineData("0 */5 * * * *", "2026-10-25T00:55:00Z", "2026-10-25T01:00:00Z")] // no hour without runs in autumn
    [InlineData("0 30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z")]
    [InlineData("0 30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z")]
    [InlineData("0 30 2 1 7 *", "2026-01-10T12:00:00Z", "2026-07-01T00:30:00Z")]
    public void NextAfter_SummerTime_NeitherSkipsNorStalls(string text, string after, string expected) =>
        Assert.Equal(At(expected), Parse(text).NextAfter(At(after), Berlin));

    [Theory]
    [InlineData("")]
    [InlineData("5")]
    [InlineData("* * * *")]
    [InlineData("60 * * * * *")]
    [InlineData("0 0 0 L * *")]
    [InlineData("0 0 0 31 2 *")]
    [InlineData("00:00:00")]
    [InlineData("-00:00:20")]
    [InlineData("often")]
    public void TryParse_Nonsense_SaysWhy(string text)
    {
        Assert.False(TimerSchedule.TryParse(text, out _, out var error));
        Assert.NotEmpty(error);
    }

    [Theory]
    [InlineData("%Schedules:Clean%", "00:00:20")]
    [InlineData("%Schedules__Clean%", "00:00:20")]
    [InlineData("00:00:30", "00:00:30")]
    [InlineData("%Schedules:Other%", null)]
    public void Resolve_Setting_IsLookedUp(string text, string? expected)
    {
        var configuration = new ConfigurationBuilder().AddInMemoryCollection([new("Schedules:Clean", "00:00:20")]).Build();

        Assert.Equal(expected, TimerSchedule.Resolve(text, configuration));
    }

    private static TimerSchedule Parse(string text) =>
        TimerSchedule.TryParse(text, out var schedule, out var error) ? schedule : throw new ArgumentException(error, nameof(text));

    private static DateTimeOffset At(string text) => DateTimeOffset.Parse(text, CultureInfo.InvariantCulture);
}
