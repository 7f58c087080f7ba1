using Librarian.Domain.Catalog;
using Librarian.Domain.Errors;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;

namespace Librarian.Tests.Domain.Errors;

[Quick]
public sealed class ErrorLogTests
{
    [Fact]
    public async Task Raise_NameWithLineBreaksAndEscapes_IsOneHarmlessLineThatIsRenewedAndSettled()
    {
        var directory = Directory.CreateTempSubdirectory("librarian-errors-").FullName;
        try
        {
            var database = new CatalogDatabase($"Data Source={Path.Combine(directory, "catalog.db")}");
            await database.MigrateAsync(default);
            var log = new ErrorLog(database, TimeProvider.System, NullLogger<ErrorLog>.Instance);

            await log.RaiseAsync(
                ErrorSeverity.Error,
                ErrorCategory.DataIntegrity,
                "drive source a\nb",
                "'a\nb\u001b[2J\u202e\uDCFF' is damaged.",
                default
            );

            await using var db = database.Open();
            Assert.Equal(@"'a\x0ab\x1b[2J\u202e\xff' is damaged.", (await db.Errors.AsNoTracking().SingleAsync()).Message);
            await log.RenewAsync(ErrorSeverity.Error, ErrorCategory.DataIntegrity, "drive source a\nb", "'a\nb' is gone.", default);
            Assert.Equal(@"'a\x0ab' is gone.", (await db.Errors.AsNoTracking().SingleAsync()).Message);
            await log.SettleAsync("drive source a\nb", default);
            Assert.True((await db.Errors.AsNoTracking().SingleAsync()).Cleared);
        }
        finally
        {
            Microsoft.Data.Sqlite.SqliteConnection.ClearAllPools();
            Directory.Delete(directory, recursive: true);
        }
    }
}
